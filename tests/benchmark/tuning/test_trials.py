"""Trials that really train, and the command line of the search."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2sg_zoo.benchmark.suites.runner import locked
from a2sg_zoo.benchmark.tuning.trials import _check_same, tune
from a2sg_zoo.cli import search
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.errors import ConfigError
from tests.cli.mistakes import mistake

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / 'configs' / '_base_'
SMALL = {
    'model.backbone.depths': (1,),
    'model.backbone.widths': (8,),
    'model.backbone.stem': 8,
    'model.backbone.T': 2,
    'model.head.in_channels': 8,
    'train_cfg.max_iters': 6,
    'train_cfg.val_interval': 3,
    'val_dataloader.dataset.train': True,
    'val_dataloader.dataset.per_class': (120, None),
    'train_dataloader.dataset.per_class': (0, 120),
}
SPACE = {'optim_wrapper.optimizer.lr': dict(type='loguniform', low=0.01, high=0.1)}
PARTS = [
    'models/resnet_small.py',
    'datasets/digits.py',
    'methods/tri.py',
    'schedules/short_sgd.py',
    'default_runtime.py',
]


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(
        f'_base_ = {[str(BASE / part) for part in PARTS]}\n'
        f'search = dict(space={SPACE!r}, metric="top1", options={SMALL!r})\n'
    )
    return path


def test_trials_are_trainings(config, tmp_path):
    description = dict(space=SPACE, options=SMALL)

    def search(trials, seen):
        return tune(
            lambda options: load_config(config, options),
            description,
            tmp_path / 'out',
            trials,
            workers=2,
            report=seen.append,
        )

    first, more = [], []
    search(2, first)
    best = search(3, more)
    assert [t['trial'] for t in first] == [0, 1] and [t['trial'] for t in more] == [2]
    assert best == max(first + more, key=lambda t: t['score']) and best['score'] > 0
    result = json.loads((tmp_path / 'out' / 'runs' / 'trial-0001-search-s0.json').read_text())
    assert result['metrics']['top1'] == first[1]['score'] and len(result['curves']['loss']) == 6
    # not the best of three, where the others have had two
    assert search(2, []) == max(first, key=lambda t: t['score'])

    # of an interrupted call, finished trials count
    record = tmp_path / 'out' / 'trials.jsonl'
    record.write_text(''.join(record.read_text().splitlines(keepends=True)[:-1]))
    before = (tmp_path / 'out' / 'runs' / 'trial-0002-search-s0.json').stat().st_mtime_ns
    again = []
    assert search(3, again) == best and again == more
    assert (tmp_path / 'out' / 'runs' / 'trial-0002-search-s0.json').stat().st_mtime_ns == before

    # trials of another search are not continued
    wider = {key: dict(type='uniform', low=0.0001, high=10.0) for key in SPACE}
    options = {**SMALL, 'train_cfg.max_iters': 9}
    for changes in (dict(mode='min'), dict(options=options), dict(metric='top5'), dict(space=wider)):
        with pytest.raises(ConfigError, match=next(iter(changes)).replace('options', 'config')):
            tune(lambda options: load_config(config, options), {**description, **changes}, tmp_path / 'out', 4)


def test_trials_of_another_space_are_not_continued(tmp_path):
    """Older versions did not note the space; their searches go on, and then it is noted."""
    identity = dict(metric='top1', space={'lr': dict(type='choice', options=[(1, 2), {3: 'x'}])})
    other = dict(identity, space={'lr': dict(type='uniform', low=0, high=1)})
    (tmp_path / 'search.json').write_text('{"metric": "top1"}')
    for _ in range(2):
        _check_same(tmp_path, True, identity)
    with pytest.raises(ConfigError, match='space'):
        _check_same(tmp_path, True, other)
    _check_same(tmp_path, False, other)
    with pytest.raises(ConfigError, match='space'):
        _check_same(tmp_path, True, identity)


def test_mistakes_are_found_before_the_first_trial(config, tmp_path):
    def search(folder='x', **changes):
        description = {**dict(space=SPACE, options=SMALL), **changes}
        return tune(lambda options: load_config(config, options), description, tmp_path / folder, 1)

    with pytest.raises(ConfigError, match="search.metric.*'mIoU'.*top1"):
        search(metric='mIoU')
    with pytest.raises(ConfigError, match='spaec.*space'):
        search(spaec=SPACE)
    (tmp_path / 'file').write_text('mine')
    with pytest.raises(ConfigError, match='file'):
        search('file')
    with locked(tmp_path / 'x', 'search'), pytest.raises(ConfigError, match=str(tmp_path / 'x')):
        search()
    assert not (tmp_path / 'x' / 'trials.jsonl').exists() and (tmp_path / 'file').read_text() == 'mine'


@pytest.mark.slow
def test_a_trial_that_dies_counts_as_failed(config, tmp_path):
    (tmp_path / 'dying.py').write_text(
        'import os, signal\nfrom mmengine.hooks import Hook\nfrom a2sg_zoo.registry import HOOKS\n'
        '@HOOKS.register_module()\nclass Dying(Hook):\n'
        '    def before_train_iter(self, runner, *args, **kwargs):\n        os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    config.write_text(
        config.read_text() + 'custom_imports = dict(imports=["dying"], allow_failed_imports=False)\n'
        'default_hooks = dict(dying=dict(type="Dying"))\n'
    )
    done = run_tool(config, tmp_path, '--trials', 1)
    assert done.returncode == 2 and 'signal 9' in done.stdout
    assert 'trials.jsonl' in done.stderr and 'Traceback' not in done.stderr


def run_tool(file, folder, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / 'tools' / 'search.py', file, '--out', folder / 'found', *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join([str(ROOT), str(folder)])},
    )


@pytest.mark.slow
def test_command_line_on_a_suite(tmp_path):
    """Each method's own parameter beside the common one, and the best of each printed and kept."""
    suite = dict(
        name='tiny',
        networks=dict(resnet=[str(BASE / PARTS[0])]),
        datasets=dict(digits=[str(BASE / PARTS[1])]),
        methods={name: [str(BASE / 'methods' / f'{name}.py')] for name in ('tri', 'atan', 'box')},
        common=[str(BASE / part) for part in PARTS[3:]],
        seeds=[0],
        reference='tri',
        search=dict(
            space=SPACE,
            options=SMALL,
            method_space=dict(atan={'adaptation.policy.surrogate.alpha': dict(type='uniform', low=1.0, high=4.0)}),
        ),
    )
    path = tmp_path / 'suite.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in suite.items()))
    done = run_tool(path, tmp_path, '--trials', 1, '--only', 'tri', 'atan')
    assert done.returncode == 0, done.stderr
    best = json.loads((tmp_path / 'found' / 'best.json').read_text())
    assert best.keys() == {'resnet-digits-tri', 'resnet-digits-atan'}
    assert best['resnet-digits-atan']['options'].keys() == {*SPACE, 'adaptation.policy.surrogate.alpha'}
    for name, found in best.items():
        assert f'{name} best: {found["score"]:.2f}' in done.stdout
    assert 'gauss' in run_tool(path, tmp_path, '--trials', 1, '--only', 'gauss').stderr
    assert run_tool(path, tmp_path, '--trials', 1, '--only', 'box').returncode == 0
    more = json.loads((tmp_path / 'found' / 'best.json').read_text())
    assert more.keys() == {*best, 'resnet-digits-box'} and best.items() <= more.items()


def write_suite(folder, **changes):
    suite = dict(
        name='tiny',
        networks=dict(resnet=[str(BASE / PARTS[0])]),
        datasets=dict(digits=[str(BASE / PARTS[1])]),
        methods=dict(tri=str(BASE / 'methods' / 'tri.py')),
        common=[str(BASE / part) for part in PARTS[3:]],
        seeds=[0],
        reference='tri',
        search=dict(space=SPACE, options=SMALL),
    )
    path = folder / 'suite.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in {**suite, **changes}.items()))
    return path


def test_a_search_does_not_begin_with_what_another_one_found(tmp_path, monkeypatch):
    suite = write_suite(tmp_path, tuned='best.json')
    (tmp_path / 'best.json').write_text(
        json.dumps({'resnet-digits-tri': dict(options={'optim_wrapper.optimizer.lr': 7.0})})
    )
    rates = []

    def tune(composed, *args):
        rates.append(composed({}).optim_wrapper.optimizer.lr)
        return dict(score=1.0, values={})

    monkeypatch.setattr('a2sg_zoo.benchmark.tuning.trials.tune', tune)
    search.main([str(suite), '--trials', '1', '--out', str(tmp_path / 'found')])
    assert rates == [0.1]


def test_only_some_searches_of_a_suite(tmp_path, monkeypatch, capsys):
    methods = {name: str(BASE / 'methods' / f'{name}.py') for name in ('tri', 'box', 'asy')}
    suite = write_suite(tmp_path, methods=methods)
    searched = []

    def tune(composed, description, folder, *args):
        searched.append(folder.name)
        return dict(score=1.0, values={})

    monkeypatch.setattr('a2sg_zoo.benchmark.tuning.trials.tune', tune)
    command = ['search', str(suite), '--trials', '1', '--out', str(tmp_path / 'found'), '--only']
    search.main([*command[1:], '*-tri', 'resnet-digits-b*'])
    assert searched == ['resnet-digits-tri', 'resnet-digits-box']
    for patterns in (['tri'], ['*-tri', 'resnet-cifar10-*']):  # a pattern that fits nothing is a mistake
        assert patterns[-1] in mistake(capsys, *command, *patterns)
    assert len(searched) == 2


def test_command_line_without_a_search(config, tmp_path, capsys):
    assert 'nothing.py' in mistake(capsys, 'search', str(tmp_path / 'nothing.py'), '--trials', '1')
    config.write_text(f'_base_ = {[str(BASE / part) for part in PARTS]}\n')
    assert '`search`' in mistake(capsys, 'search', str(config), '--trials', '1')


def test_only_is_for_suites(config, capsys):
    assert '--only' in mistake(capsys, 'search', str(config), '--trials', '1', '--only', 'tri')
