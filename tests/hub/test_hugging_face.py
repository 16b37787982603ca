"""Weights from repositories of the Hugging Face Hub, at a local stand-in."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.hugging_face import split_address
from a2sg_zoo.hub.index import index_text
from a2sg_zoo.hub.pretrained import locate
from tests.hub.stand_in import hub  # noqa: F401
from tests.hub.tiny import CLASSES, facts, network, publish

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS, INDEX = 'model.safetensors', 'config.json'


def files_of(folder, name='tiny', **changes):
    """The files of a repository with a small network."""
    folder.mkdir(exist_ok=True)
    model, path, _ = publish(folder, name)
    entry = {**facts(path, WEIGHTS), **changes}
    return model, {WEIGHTS: path.read_bytes(), INDEX: index_text({name: entry}, 'test').encode()}


@pytest.fixture
def tiny(hub, tmp_path):  # noqa: F811
    """The network in the repository me/tiny."""
    model, files = files_of(tmp_path / 'source')
    hub.commit('me/tiny', files)
    return model


def downloads(hub, file=WEIGHTS):  # noqa: F811
    return [path for method, path, _ in hub.requests if method == 'GET' and path.endswith('/' + file)]


def test_a_network_from_the_hub(hub, tiny):  # noqa: F811
    ours = a2sg_zoo.get_model('hf:me/tiny')
    assert ours.classes == CLASSES and not ours.training
    for name, x in tiny.state_dict().items():
        assert torch.equal(ours.state_dict()[name], x.half().float() if x.dim() >= 2 else x), name
    a2sg_zoo.get_model('hf:me/tiny', num_classes=5, T=3)
    assert len(downloads(hub)) == 1
    assert a2sg_zoo.info('hf:me/tiny')['metrics'] == dict(top1=33.3)
    assert a2sg_zoo.create_model('hf:me/tiny').training


def test_other_ways_to_the_same_file(hub, tiny, tmp_path):  # noqa: F811
    from mmengine.runner import load_checkpoint

    path = locate('hf:me/tiny')
    assert path.name == WEIGHTS
    other = network()
    load_checkpoint(other, 'hf:me/tiny', strict=True)
    stored = safetensors.torch.load_file(path)
    assert all(torch.equal(x.float(), other.state_dict()[k].float()) for k, x in stored.items())
    inferencer = a2sg_zoo.ImageClassifierInferencer('hf:me/tiny', device='cpu')
    assert inferencer.description.classes == CLASSES
    backbone = other.backbone
    backbone.load_pretrained('hf:me/tiny')


def test_a_revision_stays_what_it_was(hub, tiny, tmp_path):  # noqa: F811
    first = hub.repositories['me/tiny'][-1][0]
    _, files = files_of(tmp_path / 'newer')
    hub.commit('me/tiny', files)
    old, new = (a2sg_zoo.get_model(f'hf:me/tiny{revision}').state_dict() for revision in ('@' + first, ''))
    assert all(torch.equal(x.half(), old[k].half()) for k, x in tiny.state_dict().items() if x.dim() >= 2)
    assert any(not torch.equal(x, new[k]) for k, x in old.items())
    before = len(hub.requests)
    a2sg_zoo.get_model(f'hf:me/tiny@{first}')
    assert len(hub.requests) == before  # a commit needs no question
    with pytest.raises(CheckpointError, match='hf:me/tiny@v9.*revision'):
        a2sg_zoo.get_model('hf:me/tiny@v9')


def test_a_push_between_the_two_files_does_not_mix_them(hub, tiny, tmp_path, monkeypatch):  # noqa: F811
    from a2sg_zoo.hub import hugging_face

    _, files = files_of(tmp_path / 'newer')
    find_entry = hugging_face.find_entry

    def pushed_after(*args):
        entry = find_entry(*args)
        hub.commit('me/tiny', files)
        return entry

    monkeypatch.setattr(hugging_face, 'find_entry', pushed_after)
    assert a2sg_zoo.get_model('hf:me/tiny').classes == CLASSES


@pytest.mark.parametrize(
    'address',
    [
        'hf:tiny',
        'hf:',
        'hf:me/tiny/',
        'hf:me/tiny@',
        'hf:../tiny',
        'hf:me/..',
        'hf:me/a b',
        'hf:me/x\x1b[2J',
        'hf:/etc/x',
    ],
)
def test_what_is_no_address(hub, address):  # noqa: F811
    with pytest.raises(ConfigError, match='OWNER/NAME') as error:
        a2sg_zoo.get_model(address)
    assert '\x1b' not in str(error.value) and not hub.requests


def test_addresses():
    assert split_address('hf:me/my-net.v2') == ('me/my-net.v2', None)
    assert split_address('hf:me/net@refs/pr/1') == ('me/net', 'refs/pr/1')


def test_repositories_that_are_not_ours(hub, tiny, tmp_path):  # noqa: F811
    weights = safetensors.torch.save({'w': torch.zeros(3)}, {'format': 'pt'})
    good = hub.repositories['me/tiny'][-1][1]
    _, elsewhere = files_of(tmp_path / 'elsewhere')
    entry = json.loads(elsewhere[INDEX])
    entry['models']['tiny']['location'] = 'https://elsewhere.invalid/x.safetensors'
    for files, named in (
        ({WEIGHTS: weights, INDEX: b'{"model_type": "bert"}'}, INDEX),
        ({WEIGHTS: weights}, INDEX),
        ({INDEX: b'\xff\x00{', WEIGHTS: weights}, INDEX),
        ({'pytorch_model.bin': b'x'}, INDEX),
        ({INDEX: good[INDEX]}, WEIGHTS),
        ({INDEX: json.dumps(entry).encode(), WEIGHTS: good[WEIGHTS]}, 'location'),
        ({INDEX: b'[' * 100_000, WEIGHTS: weights}, INDEX),
    ):
        hub.repositories['me/other'] = []
        hub.commit('me/other', files)
        with pytest.raises(CheckpointError, match=f'hf:me/other.*{named}') as error:
            a2sg_zoo.get_model('hf:me/other')
        assert '\n' not in str(error.value) and not downloads(hub)


def test_weights_of_another_package_behind_our_index(hub, tmp_path):  # noqa: F811
    path = tmp_path / 'foreign.safetensors'
    safetensors.torch.save_file({'w': torch.zeros(3)}, path, {'format': 'pt'})
    entry = facts(path, WEIGHTS)
    hub.commit('me/x', {WEIGHTS: path.read_bytes(), INDEX: index_text({'tiny': entry}, 'test').encode()})
    with pytest.raises(CheckpointError, match=WEIGHTS):
        a2sg_zoo.get_model('hf:me/x')


@pytest.mark.parametrize('file', [WEIGHTS, INDEX])
def test_a_file_that_was_tampered_with_on_the_way(hub, tiny, file):  # noqa: F811
    body = bytearray(hub.repositories['me/tiny'][-1][1][file])
    body[len(body) // 2] ^= 1
    hub.sent[file] = bytes(body)
    with pytest.raises(CheckpointError, match='hf:me/tiny'):
        a2sg_zoo.get_model('hf:me/tiny')
    hub.sent.clear()
    a2sg_zoo.get_model('hf:me/tiny')


def test_weights_that_the_index_does_not_describe(hub, tiny, tmp_path):  # noqa: F811
    """Pushed by hand, beside the index of other weights."""
    _, newer = files_of(tmp_path / 'newer')
    hub.commit('me/tiny', {WEIGHTS: newer[WEIGHTS]})
    with pytest.raises(CheckpointError, match=f'hf:me/tiny.*{WEIGHTS}.*sha256'):
        a2sg_zoo.get_model('hf:me/tiny')


def test_an_answer_cut_short(hub, tiny, monkeypatch):  # noqa: F811
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    hub.sent[WEIGHTS] = hub.repositories['me/tiny'][-1][1][WEIGHTS][:-100]
    with pytest.raises(CheckpointError, match='hf:me/tiny'):
        a2sg_zoo.get_model('hf:me/tiny')
    hub.sent.clear()
    a2sg_zoo.get_model('hf:me/tiny')


@pytest.mark.parametrize('damage', [lambda data: data[:-1], lambda data: data[:-1] + b'?', lambda data: b''])
@pytest.mark.parametrize('file', [WEIGHTS, INDEX])
def test_a_damaged_file_in_the_cache_is_replaced(hub, tiny, monkeypatch, file, damage):  # noqa: F811
    path = locate('hf:me/tiny').with_name(file)
    whole = path.read_bytes()
    path.resolve().write_bytes(damage(whole))
    a2sg_zoo.get_model('hf:me/tiny')
    assert path.read_bytes() == whole
    path.resolve().write_bytes(damage(whole))
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    with pytest.raises(CheckpointError, match='hf:me/tiny'):
        a2sg_zoo.get_model('hf:me/tiny')


def test_more_bytes_than_the_index_says_are_not_downloaded(hub, tiny, tmp_path):  # noqa: F811
    hub.commit('me/tiny', {WEIGHTS: bytes(3_000_000)})
    with pytest.raises(CheckpointError, match='hf:me/tiny.*3,000,000'):
        a2sg_zoo.get_model('hf:me/tiny')
    hub.commit('me/tiny', {INDEX: bytes(5_000_000)})
    with pytest.raises(CheckpointError, match=f'hf:me/tiny.*{INDEX}.*5,000,000'):
        a2sg_zoo.get_model('hf:me/tiny')
    assert not downloads(hub) and len(downloads(hub, INDEX)) == 1


def test_gated_missing_and_broken(hub, tiny, monkeypatch):  # noqa: F811
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    with pytest.raises(CheckpointError, match='hf:me/nothing.*HF_TOKEN') as missing:
        a2sg_zoo.get_model('hf:me/nothing')
    hub.gated.add('me/tiny')
    with pytest.raises(CheckpointError, match='hf:me/tiny.*HF_TOKEN') as gated:
        a2sg_zoo.get_model('hf:me/tiny')
    assert str(gated.value).partition(': ')[2] != str(missing.value).partition(': ')[2]
    hub.gated.clear()
    hub.down = True
    with pytest.raises(CheckpointError, match='hf:me/tiny.*503') as down:
        a2sg_zoo.get_model('hf:me/tiny')
    for error in (missing, gated, down):
        assert '\n' not in str(error.value) and 'hf_writer' not in str(error.value)
    hub.down = False
    a2sg_zoo.get_model('hf:me/tiny')
    hub.down = True  # what is in the cache is used
    a2sg_zoo.get_model('hf:me/tiny')


def test_offline(hub, tiny, monkeypatch):  # noqa: F811
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    with pytest.raises(CheckpointError, match='hf:me/tiny.*A2SG_ZOO_OFFLINE'):
        a2sg_zoo.get_model('hf:me/tiny')
    assert not hub.requests
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '0')
    a2sg_zoo.get_model('hf:me/tiny')
    monkeypatch.setenv('A2SG_ZOO_OFFLINE', '1')
    before = len(hub.requests)
    assert a2sg_zoo.get_model('hf:me/tiny').classes == CLASSES and len(hub.requests) == before


def test_no_hub_at_this_address(hub, monkeypatch):  # noqa: F811
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    monkeypatch.setenv('HF_ENDPOINT', 'http://127.0.0.1:9')
    with pytest.raises(CheckpointError, match='hf:me/tiny') as error:
        a2sg_zoo.get_model('hf:me/tiny')
    assert '\n' not in str(error.value)


def test_the_hub_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(CheckpointError, match=r'hf:me/tiny.*a2sg-zoo\[hub\]'):
        a2sg_zoo.get_model('hf:me/tiny')


def test_a_description_that_asks_for_code(hub, tiny, tmp_path):  # noqa: F811
    """The index stays data: a network of a class that is not registered here is not built."""
    for model in (dict(type='os.system', command='touch trace'), dict(type='EncoderDecoder', pretrained='x.pth')):
        _, files = files_of(tmp_path / 'evil', model=model)
        hub.repositories['me/evil'] = []
        hub.commit('me/evil', files)
        with pytest.raises(CheckpointError, match='hf:me/evil|config.json'):
            a2sg_zoo.get_model('hf:me/evil', pretrained=False)


def test_download_command(hub, tiny):  # noqa: F811
    def command(*names):
        return subprocess.run(
            [sys.executable, ROOT / 'tools' / 'download.py', *names],
            text=True,
            capture_output=True,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'HF_HUB_DISABLE_PROGRESS_BARS': '1'},
        )

    done = command('hf:me/tiny')
    assert done.returncode == 0 and done.stdout.startswith('hf:me/tiny: '), done.stderr
    path = Path(done.stdout.partition(': ')[2].strip())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == a2sg_zoo.info('hf:me/tiny')['sha256']
    failed = command('hf:me/tiny', 'hf:me/nothing')
    assert failed.returncode == 2 and not failed.stdout
    assert failed.stderr.strip().startswith('error: hf:me/nothing') and len(failed.stderr.strip().splitlines()) == 1
