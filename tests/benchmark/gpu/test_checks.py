"""The checks of `a2sg-zoo gpu_report`: as a user tries them on a CPU, and with faults in what they look at."""

import json
from functools import partial

import pytest
import torch

from a2sg_zoo.benchmark.gpu import checks
from a2sg_zoo.benchmark.gpu.checks import CHECKS, Place, Skipped
from a2sg_zoo.benchmark.gpu.kernels import compare_kernels
from a2sg_zoo.benchmark.speed import peers
from a2sg_zoo.cli.gpu_report import main
from a2sg_zoo.datasets.augment import BatchFlip
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.neurons import dynamics as reference
from tests.cli.mistakes import mistake

CPU = torch.device('cpu')
PLACE = Place(CPU, smoke=True)
ON_A_CPU = ['data_on_the_device', 'autocast_bfloat16', 'autocast_float16', 'compile', 'speed_neuron']


def read(folder):
    return json.loads((folder / 'checks.json').read_text())


def test_a_smoke_test(tmp_path, capsys):
    main(['checks', '--out', str(tmp_path), '--smoke'])
    report = read(tmp_path)
    states = {row['name']: row['status'] for row in report['rows']}
    assert [*states] == [*CHECKS] and {name for name, state in states.items() if state == 'passed'} == {*ON_A_CPU}
    assert all(row['reason'] for row in report['rows'] if row['status'] == 'skipped')
    assert report['facts']['torch'] == torch.__version__ and report['facts']['smoke'] is True
    text = (tmp_path / 'checks.md').read_text()
    assert all(f'| {name} | {state} |' in text for name, state in states.items()) and 'moving 6 tensors' in text
    assert str(tmp_path / 'checks.json') in capsys.readouterr().out
    # half precision is another computation, not the same one under another name
    figures = {row['name']: row['figures'] for row in report['rows']}
    cosines = [figures[name]['cosine_of_gradients'] for name in ON_A_CPU[1:4]]
    assert max(cosines[:2]) < 1 - 1e-6 and all(0.95 < cosine <= 1.0001 for cosine in cosines)


def test_a_failed_check_stops_nothing(tmp_path, capsys, monkeypatch):
    def fails(place):
        raise RuntimeError('device-side | assert')

    def looks(place):
        first, second = read(tmp_path)['rows']
        assert first['status'] == 'failed' and second['status'] == 'running'
        return dict(seen=2)

    monkeypatch.setattr(checks, 'CHECKS', dict(fails=fails, looks=looks))
    said = mistake(capsys, 'gpu_report', 'checks', '--out', str(tmp_path), '--smoke')
    assert 'fails' in said and 'looks' not in said
    first, second = read(tmp_path)['rows']
    assert (first['status'], second['status'], second['figures']) == ('failed', 'passed', dict(seen=2))
    assert 'device-side | assert' in first['reason']


def test_no_check_begins_when_the_time_is_up(tmp_path):
    journal = checks.Journal(tmp_path, 'checks', 'T', {}, checks.HEADS, checks.cells)
    assert checks.run_checks(Place(CPU, True, lambda: 0.0), journal, ['compile', 'speed_neuron']) == []
    assert [row['status'] for row in read(tmp_path)['rows']] == ['skipped'] * 2


@pytest.mark.parametrize('name', ['triton_kernels', 'no_synchronisation', 'peak_memory', 'spikingjelly_triton'])
def test_what_a_cpu_cannot_show_is_skipped(name):
    with pytest.raises(Skipped):
        CHECKS[name](PLACE)


@pytest.mark.slow
def test_wrong_gradients_are_seen(monkeypatch):
    right = checks._gradients

    def changed(change, *args):
        loss, gradients = right(*args)
        return loss, {name: change(x) for name, x in gradients.items()} if args[3] else gradients

    monkeypatch.setattr(checks, '_gradients', partial(changed, torch.randn_like))
    with pytest.raises(A2SGError, match='cosine_of_gradients.*lowest'):
        checks.precision(torch.bfloat16, PLACE)
    monkeypatch.setattr(checks, '_gradients', partial(changed, lambda x: x / 0))
    with pytest.raises(A2SGError):
        checks.precision(torch.float16, PLACE)


def test_other_images_are_seen(monkeypatch):
    right, calls = BatchFlip.__call__, []

    def flips_too_much(self, images, draws):
        calls.append(1)
        return right(self, images, draws).flip(3) if len(calls) == 1 else right(self, images, draws)

    monkeypatch.setattr(BatchFlip, '__call__', flips_too_much)
    with pytest.raises(A2SGError, match='64'):
        checks.data(PLACE)


@pytest.mark.parametrize('broken', [None, 'forward', 'spikes_alone', 'backward', 'forward_chunk', 'backward_chunk'])
def test_a_wrong_kernel_is_seen(broken, monkeypatch):
    pytest.importorskip('triton')
    from a2sg_zoo.neurons import triton_kernels as kernels

    right = dict(
        forward=reference.forward_pass,
        spikes_alone=lambda *args: reference.forward_pass(*args)[0],
        backward=reference.backward_pass,
        forward_chunk=reference.forward_chunk,
        backward_chunk=reference.backward_chunk,
    )

    def wrong(function, *args):
        found = function(*args)
        return found + 1 if isinstance(found, torch.Tensor) else (found[0] + 1, *found[1:])

    monkeypatch.setattr(kernels, 'supports', lambda *args: True)
    for name, function in right.items():
        monkeypatch.setattr(kernels, name, partial(wrong, function) if name == broken else function)
    if broken is None:
        assert compare_kernels(CPU) == 48
        return
    with pytest.raises(A2SGError, match=broken.partition('_')[0]):
        compare_kernels(CPU)


def test_back_ends_of_spikingjelly():
    pytest.importorskip('spikingjelly')
    assert [*peers.spikingjelly_environment('triton').values()] == ['triton']
    with pytest.raises(ConfigError, match='cupy'):
        peers.spikingjelly_environment('cupy')


@pytest.mark.parametrize(
    'arguments, named',
    [
        (['checks', '--out', 'x', '--smoke', '--minutes', '0'], '--minutes'),
        (['checks', '--out', 'x', '--smoke', '--only', 'kernel'], 'kernel'),
        (['check', '--out', 'x'], 'check'),
        (['checks', '--smoke'], '--out'),
        (['training', '--out', 'x', '--only', 'compile'], '--only'),
        (['training', '--out', 'x', '--smoke', '--data', 'y'], '--data'),
    ],
)
def test_mistakes(arguments, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named in mistake(capsys, 'gpu_report', *arguments)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
@pytest.mark.parametrize('part', ['checks', 'training'])
def test_without_a_gpu(part, tmp_path, capsys):
    assert '--smoke' in mistake(capsys, 'gpu_report', part, '--out', str(tmp_path))
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize('part', ['checks', 'training'])
def test_files_of_others_stay(part, tmp_path, capsys):
    (tmp_path / f'{part}.json').write_text('{"my": "data"}')
    assert f'{part}.json' in mistake(capsys, 'gpu_report', part, '--out', str(tmp_path), '--smoke')
    assert (tmp_path / f'{part}.json').read_text() == '{"my": "data"}' and len([*tmp_path.iterdir()]) == 1
