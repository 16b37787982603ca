"""The training of `a2sg-zoo gpu_report`: as a user tries it on a CPU, and its arithmetic."""

import io
import json
import shlex
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from a2sg_zoo.benchmark.gpu import runs, training
from a2sg_zoo.benchmark.gpu.journal import TOOL
from a2sg_zoo.benchmark.gpu.runs import COUNTS, SPIKES, Measured, Run, affordable, parsed, plan_words
from a2sg_zoo.cli import main
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.runner import ZooRunner
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.hub.files import write_output
from tests.cli.mistakes import mistake


def read(folder):
    report = json.loads((folder / 'training.json').read_text())
    return {row['run']: row for row in report['rows']}


def weights(folder):
    return read_checkpoint(folder / 'iter_16.pth')['state_dict']


def equal(a, b):
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp('report')
    main(['gpu_report', 'training', '--out', str(folder), '--smoke'])
    return folder


def test_counts_and_then_both_methods_are_trained_and_evaluated(report):
    rows = read(report)
    assert [*rows] == ['counts', 'a2sg', 'tri'] and {row['state'] for row in rows.values()} == {'finished'}
    for run, row in rows.items():
        assert [*row['top1']] == (['1'] if run == 'counts' else ['1', '2', '4']) and row['iterations'] == 16
        assert row['measured']['step'] > 0
        logged = (report / run / 'evaluations.jsonl').read_text().splitlines()
        assert len(logged) == (8 if run == 'counts' else 4) and f'a2sg-zoo publish {report / run}' in row['publish']
    text = (report / 'training.md').read_text()
    assert '| a2sg | finished |' in text and all(row['command'] in text for row in rows.values())
    beta = 'backbone.stages.0.0.neuron.beta'
    a2sg, tri = (weights(report / method)[beta] for method in ('a2sg', 'tri'))
    assert len(a2sg) == 4 and not a2sg.equal(tri)


def test_methods_begin_with_the_weights_of_the_counts(report):
    """Frozen statistics of the norms are still those of the first run; weights have moved on."""
    first = weights(report / 'counts')
    mean, weight = 'backbone.stages.0.0.conv.bn.running_mean', 'backbone.stages.0.0.conv.conv.weight'
    for method in ('a2sg', 'tri'):
        found = weights(report / method)
        assert found[mean].equal(first[mean]) and 0 < (found[weight] - first[weight]).abs().max() < 0.01


def test_the_noted_command_repeats_the_run(report, tmp_path):
    words = shlex.split(read(report)['a2sg']['command'])
    words[words.index('--work-dir') + 1] = str(tmp_path)
    main(words[1:])
    assert equal(weights(tmp_path), weights(report / 'a2sg'))


def test_top1_of_few_time_steps_is_that_of_a_network_run_with_them(report):
    words = shlex.split(read(report)['tri']['command'])
    words = ['test', words[2], 'last', *words[3:], 'model.test_cfg.T=2', '--out', str(report / 'result.json')]
    main(words)
    found = json.loads((report / 'result.json').read_text())['metrics']['top1']
    assert found == pytest.approx(read(report)['tri']['top1']['2'], abs=1e-3)


@pytest.mark.parametrize('run, state', [('counts', 'training'), ('tri', 'evaluated'), ('tri', 'failed')])
def test_an_interrupted_report_continues(run, state, report):
    """What is finished stays; the plan of what was interrupted is kept, and its run resumed."""
    done, interrupted = report / 'a2sg' / 'iter_16.pth', report / run / 'iter_16.pth'
    before, expected, row = done.stat().st_mtime_ns, weights(report / run), read(report)[run]
    interrupted.unlink()
    data = json.loads((report / 'training.json').read_text())
    next(row for row in data['rows'] if row['run'] == run).update(state=state, top1={}, reason='')
    (report / 'training.json').write_text(json.dumps(data))
    main(['gpu_report', 'training', '--out', str(report), '--smoke'])
    assert done.stat().st_mtime_ns == before and equal(weights(report / run), expected)
    assert f'| {run} | finished | over ' in (report / 'training.md').read_text()
    found = read(report)[run]
    assert (found['command'], found['state'], found['top1']) == (row['command'], 'finished', row['top1'])


def test_another_training_is_not_mixed_into_a_report(report, capsys):
    words = ['--cfg-options', 'optim_wrapper.optimizer.lr=0.1']
    assert 'training.json' in mistake(capsys, 'gpu_report', 'training', '--out', str(report), '--smoke', *words)


@pytest.fixture
def without_training(monkeypatch):
    """Runs that do nothing; returns a function that makes one of them fail."""

    class Runner:
        iter = 16

    def fail(name):
        def measure(run, device):
            if run.name == name:
                raise torch.OutOfMemoryError('CUDA')
            return Measured(1.0, 0.0, 0.0)

        monkeypatch.setattr(training, 'measure', measure)

    def train(cfg, resume):
        Path(cfg.work_dir).mkdir()
        Path(cfg.work_dir, 'iter_16.pth').write_bytes(b'')
        return Runner()

    monkeypatch.setattr(training, 'train', train)
    monkeypatch.setattr(training, 'test', lambda cfg, checkpoint: dict(top1_t1=1.0, top1_t2=2.0, top1_t4=4.0))
    return fail


def test_a_method_that_fails_does_not_stop_the_next(without_training, tmp_path, capsys):
    without_training('a2sg')
    assert 'a2sg' in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path), '--smoke')
    rows = read(tmp_path)
    assert [row['state'] for row in rows.values()] == ['finished', 'failed', 'finished']
    assert 'CUDA' in rows['a2sg']['reason'] and rows['tri']['top1'] == {'1': 1.0, '2': 2.0, '4': 4.0}


def test_without_its_first_run_a_report_ends(without_training, tmp_path, capsys):
    without_training('counts')
    assert 'counts' in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path), '--smoke')
    assert [row['state'] for row in read(tmp_path).values()] == ['failed', 'waiting', 'waiting']


def test_a_first_run_whose_test_fails_has_weights_nevertheless(without_training, tmp_path, capsys, monkeypatch):
    without_training(None)
    test = training.test
    monkeypatch.setattr(training, 'test', lambda cfg, checkpoint: test(cfg, checkpoint) if cfg.adaptation else 1 / 0)
    assert 'counts' in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path), '--smoke')
    assert [row['state'] for row in read(tmp_path).values()] == ['failed', 'finished', 'finished']


def test_how_the_minutes_are_shared(without_training, tmp_path, monkeypatch):
    without_training(None)
    clock, given = [1000.0], []

    def run(run, row, journal, seconds, *args):
        given.append(seconds)
        clock[0] += [100, 50, 0][len(given) - 1]  # less than they may take: the next ones get the rest
        (journal.folder / run.name).mkdir()
        (journal.folder / run.name / 'iter_8.pth').write_bytes(b'')
        row.update(state='finished', iterations=8, command='', publish='')

    monkeypatch.setattr(training.time, 'monotonic', lambda: clock[0])
    monkeypatch.setattr(training, '_run', run)
    main(['gpu_report', 'training', '--out', str(tmp_path), '--smoke', '--minutes', '8'])
    assert given == [0.5 * 480, (480 - 100) / 2, 480 - 150]


def test_a_run_without_time_is_not_even_measured(without_training, tmp_path, capsys, monkeypatch):
    without_training('counts')
    monkeypatch.setattr(training, '_SHARE', 0)
    assert '--minutes' in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path), '--smoke')
    assert 'CUDA' not in read(tmp_path)['counts']['reason']


def test_checkpoints_do_not_count_as_iterations(monkeypatch):
    monkeypatch.setattr(ZooRunner, 'save_checkpoint', lambda *args, **kwargs: 1 / 0)
    found = runs.measure(Run(tuple(training._SMOKE), smoke=True), torch.device('cpu'))
    assert min(found) > 0


def test_checkpoints_of_another_run_are_found_before_the_first_one(tmp_path, capsys):
    (tmp_path / 'tri').mkdir()
    (tmp_path / 'tri' / 'iter_8.pth').write_bytes(b'')
    assert str(tmp_path / 'tri') in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path), '--smoke')
    assert not (tmp_path / 'counts').exists()


def test_a_folder_that_options_cannot_name(tmp_path, capsys):
    assert '--out' in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path / 'a,b'), '--smoke')


def test_a_report_of_an_earlier_version(tmp_path, capsys):
    write_output(dict(facts={}, rows=[dict(method='a2sg')]), tmp_path / 'training.json', TOOL)
    assert 'version' in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path), '--smoke')


def test_the_iterations_fit_into_the_time():
    found, sizes = Measured(0.02, image=1e-4, setup=3.0), [50_000, 10_000]
    number = affordable(Run((), False, 'a2sg'), found, 120, sizes, reading=6.0)
    # four evaluations in the run and one after it, two starts, all images once and the test images once more
    seconds = number * 0.02 + 5 * 1e-4 * 10_000 + 2 * 3 + 6 + 6 / 6
    assert 105 < seconds <= 108
    assert number % 4 == 0
    # counts: six and one
    seconds = affordable(Run((), False), found, 120, sizes, 6.0) * 0.02 + 7 * 1e-4 * 10_000 + 2 * 3 + 6 + 6 / 6
    assert 105 < seconds <= 108
    for short in (19, -1):
        with pytest.raises(ConfigError, match='--minutes'):
            affordable(Run((), False, 'a2sg'), found, short, sizes, reading=6.0)


def test_a_plan_stretches_the_schedule_of_the_config():
    for config in (COUNTS, SPIKES):
        same = parsed(plan_words(config, load_config(config).train_cfg.max_iters))
        assert load_config(config, same)._cfg_dict == load_config(config)._cfg_dict
    cfg = load_config(SPIKES, parsed(plan_words(SPIKES, 800)))
    assert cfg.train_cfg.max_iters == 800 and cfg.param_scheduler[0].end == cfg.param_scheduler[1].begin == 80
    assert (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval) == (200, 80)
    assert all(i // load_config(COUNTS, parsed(plan_words(COUNTS, i))).train_cfg.val_interval == 6 for i in (600, 6006))


def archive(path, prefix='cifar10/'):
    data = io.BytesIO()
    Image.new('RGB', (32, 32)).save(data, format='jpeg')
    with tarfile.open(path, 'w:xz') as file:
        for name in ('train/cat/1.jpg', 'test/cat/1.jpg'):
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data.getvalue())
            file.addfile(member, io.BytesIO(data.getvalue()))
    return path


@pytest.mark.parametrize('prefix', ['cifar10/', 'data/', ''])
def test_data_from_an_archive_or_a_folder(prefix, tmp_path):
    packed = archive(tmp_path / 'images.tar.xz', prefix)
    folder = training._folder(packed, tmp_path / 'out')
    assert (folder / 'train' / 'cat' / '1.jpg').is_file()
    assert training._folder(folder, tmp_path / 'out') == folder == training._folder(packed, tmp_path / 'out')


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match='nowhere'):
        training._folder(tmp_path / 'nowhere', tmp_path)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match='empty'):
        training._folder(tmp_path / 'empty', tmp_path)
    with pytest.raises(DataError, match=r'\.\./'):
        training._folder(archive(tmp_path / 'stray.tar.xz', '../'), tmp_path / 'out')


@pytest.mark.parametrize('words, named', [(['--methods', 'a2sgg'], 'a2sgg'), (['--methods', 'a/b.py'], 'a/b.py')])
def test_an_unknown_method_ends_before_the_first_run(words, named, tmp_path, capsys):
    assert named in mistake(capsys, 'gpu_report', 'training', '--out', str(tmp_path), '--smoke', *words)
    assert [*tmp_path.iterdir()] == []
