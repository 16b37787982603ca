"""Weights pushed to the Hugging Face Hub, at a local stand-in, come back as they were."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import a2sg_zoo
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.index import cards_path, read_index
from a2sg_zoo.publishing.push import push
from tests.hub.stand_in import TOKEN, hub  # noqa: F401
from tests.hub.tiny import publish

ROOT = Path(__file__).resolve().parents[2]
BETA = {'backbone.stem': [0.5, 2.0]}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index with the weights `tiny` and their training curves."""
    recipe = dict(command='python tools/train.py x', evaluation='python tools/test.py x zoo:tiny')
    _, _, path = publish(tmp_path, beta=BETA, recipe=recipe)
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(path))
    cards_path().mkdir()
    (cards_path() / 'tiny.log.jsonl').write_text('{"step": 1, "loss": 0.5}\n')
    return path


def test_weights_come_back(hub, index, tmp_path):  # noqa: F811
    address = push('tiny', 'me/tiny')
    number, files = hub.repositories['me/tiny'][-1]
    assert address == f'hf:me/tiny@{number}'
    assert files['model.safetensors'] == (tmp_path / 'tiny.safetensors').read_bytes()
    assert set(files) == {'model.safetensors', 'config.json', 'README.md', 'tiny.svg', 'tiny.log.jsonl'}
    local, there = a2sg_zoo.get_model('tiny'), a2sg_zoo.get_model(address)
    assert all(torch.equal(x, there.state_dict()[k]) for k, x in local.state_dict().items())
    ours, theirs = a2sg_zoo.info('tiny'), a2sg_zoo.info(address)
    assert {k for k in ours if ours[k] != theirs[k]} == {'name', 'location'}


def test_the_card_is_one_of_the_hub(hub, index):  # noqa: F811
    from huggingface_hub import ModelCard

    push('tiny', 'me/tiny')
    files = hub.repositories['me/tiny'][-1][1]
    card = ModelCard(files['README.md'].decode())
    assert card.data.library_name == 'a2sg-zoo' and card.data.license == 'apache-2.0'
    assert card.data.eval_results[0].metric_value == 33.3
    assert "get_model('hf:me/tiny')" in card.text and 'zoo:tiny' not in card.text
    linked = {part.partition(')')[0] for part in card.text.split('](')[1:]}
    assert {link for link in linked if '://' not in link} <= set(files)


def test_weights_are_pushed_once_more(hub, index, tmp_path):  # noqa: F811
    first = push('tiny', 'me/tiny')
    before = a2sg_zoo.get_model(first).state_dict()
    publish(tmp_path, beta=BETA)
    second = push('tiny', 'me/tiny')
    assert first != second and len(hub.repositories['me/tiny']) == 3  # with the commit that made the repository
    assert all(torch.equal(x, before[k]) for k, x in a2sg_zoo.get_model(first).state_dict().items())
    assert read_index()['tiny']['sha256'] == a2sg_zoo.info('hf:me/tiny')['sha256'] == a2sg_zoo.info(second)['sha256']


@pytest.mark.parametrize(
    'files',
    [
        {'model.safetensors': b'theirs'},
        {'config.json': b'{"model_type": "bert"}'},
        {'.gitattributes': b'', 'README.md': b'Their own'},
    ],
)
def test_what_somebody_else_put_there_is_left(hub, index, files):  # noqa: F811
    hub.commit('me/theirs', files)
    with pytest.raises(ConfigError, match='hf:me/theirs'):
        push('tiny', 'me/theirs')
    assert len(hub.repositories['me/theirs']) == 1


def test_other_weights_are_left(hub, index, tmp_path):  # noqa: F811
    push('tiny', 'me/tiny')
    contents = json.loads(index.read_text())
    contents['models']['other'] = contents['models'].pop('tiny')
    index.write_text(json.dumps(contents))
    count = len(hub.repositories['me/tiny'])
    with pytest.raises(ConfigError, match='hf:me/tiny.*tiny.*other'):
        push('other', 'me/tiny')
    assert len(hub.repositories['me/tiny']) == count
    hub.commit('me/new', {'.gitattributes': b''})  # as the Hub makes them
    push('other', 'me/new')


def test_no_permission(hub, index, monkeypatch):  # noqa: F811
    monkeypatch.setenv('HF_TOKEN', 'hf_reader')
    with pytest.raises(CheckpointError, match='hf:me/tiny.*HF_TOKEN') as error:
        push('tiny', 'me/tiny')
    assert 'hf_reader' not in str(error.value) and '\n' not in str(error.value)
    assert 'me/tiny' not in hub.repositories


def test_what_cannot_be_pushed(hub, index, tmp_path, monkeypatch):  # noqa: F811
    with pytest.raises(ConfigError, match='tinny.*tiny'):
        push('tinny', 'me/tiny')
    for repository in ('tiny', 'me/tiny@main', 'https://huggingface.co/me/tiny'):
        with pytest.raises(ConfigError, match='OWNER/NAME'):
            push('tiny', repository)
    (cards_path() / 'tiny.log.jsonl').unlink()
    with pytest.raises(ConfigError, match='tiny.log.jsonl'):
        push('tiny', 'me/tiny')
    (tmp_path / 'tiny.safetensors').write_bytes(b'damaged')
    with pytest.raises(CheckpointError, match='tiny.safetensors'):
        push('tiny', 'me/tiny')
    assert not hub.repositories and not hub.requests


def test_command(hub, index):  # noqa: F811
    def command(*arguments):
        return subprocess.run(
            [sys.executable, ROOT / 'tools' / 'publish.py', *arguments],
            text=True,
            capture_output=True,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'HF_HUB_DISABLE_PROGRESS_BARS': '1', 'HF_TOKEN': TOKEN},
        )

    done = command('--push', 'me/tiny', '--name', 'tiny')
    assert done.returncode == 0, done.stderr
    number = hub.repositories['me/tiny'][-1][0]
    assert done.stdout.splitlines()[-1] == f"a2sg_zoo.get_model('hf:me/tiny@{number}')"
    hub.down = True
    failed = command('--push', 'me/tiny', '--name', 'tiny')
    last = failed.stderr.strip().splitlines()[-1]
    assert failed.returncode == 2 and last.startswith('error: hf:me/tiny') and '503' in last
    assert command('--push', 'me/tiny').returncode == 2
