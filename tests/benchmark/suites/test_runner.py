"""Suites that really run: what is kept, what is repeated, and what becomes of runs that die or hang."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from a2sg_zoo.benchmark.suites.launchers import LAUNCHERS
from a2sg_zoo.benchmark.suites.plan import plan
from a2sg_zoo.benchmark.suites.results import load_results, result_path
from a2sg_zoo.benchmark.suites.runner import locked, run_suite, survey
from a2sg_zoo.benchmark.suites.suite import read_suite
from a2sg_zoo.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / 'configs' / '_base_'
SMALL = {
    'model.backbone.depths': (1,),
    'model.backbone.widths': (8,),
    'model.backbone.stem': 8,
    'model.backbone.T': 2,
    'model.head.in_channels': 8,
    'train_cfg.max_iters': 4,
    'train_cfg.val_interval': 2,
    'adaptation.log_interval': 2,
}
HOOKS = """
import os, signal, time
from mmengine.hooks import Hook
from a2sg_zoo.registry import HOOKS

@HOOKS.register_module()
class Accident(Hook):
    def __init__(self, kind):
        self.kind = kind
    def before_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 2:
            print('an accident is about to happen', flush=True)
            if self.kind == 'die': os.kill(os.getpid(), signal.SIGKILL)
            if self.kind == 'raise': raise RuntimeError('this run raises')
            if self.kind == 'hang': time.sleep(600)
"""


def write(folder, methods=('tri', 'a2sg'), **changes):
    parts = dict(
        name='tiny',
        networks=dict(small=[str(BASE / 'models' / 'resnet_small.py')]),
        datasets=dict(digits=[str(BASE / 'datasets' / 'digits.py')]),
        methods={name: ['tri', name] if name in ('tet', 'sam') else name for name in methods},
        seeds=[0],
        reference='tri',
        common=[str(BASE / 'schedules' / 'short_sgd.py'), str(BASE / 'default_runtime.py')],
        options=SMALL,
        timeout=120,
    )
    path = folder / 'suite.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in {**parts, **changes}.items()))
    return path


def run(path, folder, **options):
    suite, ended = read_suite(path), {}
    runs = plan(suite)
    run_suite(
        suite,
        runs,
        folder,
        'the command',
        report=lambda r, result: ended.update({r.name: result}),
        options=dict(workers=2, **options),
    )
    return runs, ended


def test_finished_runs_stay(tmp_path):
    out = tmp_path / 'out'
    path = write(tmp_path)
    runs, ended = run(path, out)
    results, problems = load_results(out)
    assert not problems and {r['method']: r for r in results} == {r['method']: r for r in ended.values()}
    (tri,) = (r for r in results if r['method'] == 'tri')
    (a2sg,) = (r for r in results if r['method'] == 'a2sg')
    assert tri['status'] == 'finished' and tri['cost']['steps'] == 4 and tri['metrics'].keys() >= {'top1', 'best_top1'}
    assert [i for i, _ in tri['curves']['loss']] == [1, 2, 3, 4] and [i for i, _ in tri['curves']['metric']] == [2, 4]
    assert {len(beta) for curve in a2sg['curves']['beta'].values() for _, beta in curve} == {2}
    last = [beta for curve in a2sg['curves']['beta'].values() for beta in curve[-1][1]]
    assert 'search' not in tri and set(a2sg['search']) == {
        *('low', 'high', 'mean', 'spatial_on_bound', 'temporal_on_bound')
    }
    assert a2sg['search']['mean'] == pytest.approx(sum(last) / len(last))
    assert tri['activity']['energy_pj'] > 0 and tri['activity']['T'] == 2
    # a result goes to another machine as it is
    assert not any(str(tmp_path) in path.read_text() for path in out.glob('runs/*.json'))
    assert (out / tri['config']).is_file()
    written = json.loads((out / 'suite.json').read_text())
    assert written['methods'] == ['tri', 'a2sg'] and written['runs'] == {r.name: r.identity for r in runs}

    # nothing is to do; then a result is edited, one is lost, and an option changes
    assert not survey(runs, out).to_do and run(path, out)[1] == {}
    edited = result_path(out, 'small-digits-tri-s0')
    edited.write_text(edited.read_text().replace('"top1"', '"top2"', 1))
    state = survey(runs, out)
    assert [r.method for r in state.to_do] == ['tri'] and state.reasons.keys() == {'small-digits-tri-s0'}
    result_path(out, 'small-digits-a2sg-s0').unlink()
    assert len(survey(runs, out).to_do) == 2
    again = run(path, out)[1]
    for name, before in (('tri', tri), ('a2sg', a2sg)):
        after = again[f'small-digits-{name}-s0']
        assert after['metrics'] == before['metrics'] and after['curves'] == before['curves']
    changed = plan(read_suite(write(tmp_path, options={**SMALL, 'optim_wrapper.optimizer.lr': 0.3})))
    reasons = survey(changed, out).reasons
    assert reasons.keys() == {r.name for r in changed} and all('config' in reason for reason in reasons.values())

    # the config that is kept repeats the run
    done = subprocess.run(
        [
            sys.executable,
            ROOT / 'tools' / 'train.py',
            out / 'configs' / 'small-digits-a2sg-s0.py',
            '--work-dir',
            tmp_path / 'repeated',
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    log = [json.loads(line) for line in (tmp_path / 'repeated' / 'adaptation.jsonl').read_text().splitlines()]
    for layer, curve in a2sg['curves']['beta'].items():
        assert [beta for _, beta in curve] == [record['layers'][layer]['beta'] for record in log]


@pytest.mark.slow
def test_accidents_are_noted_and_tried_again(tmp_path, monkeypatch):
    (tmp_path / 'accidents.py').write_text(HOOKS)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.syspath_prepend(tmp_path)
    kinds = dict(tri='none', asy='die', box='raise', atan='hang')
    path = write(
        tmp_path,
        methods=tuple(kinds),
        timeout=45,
        options={**SMALL, 'custom_imports': dict(imports=['accidents'], allow_failed_imports=False)},
        method_options={m: {'default_hooks.accident': dict(type='Accident', kind=kind)} for m, kind in kinds.items()},
    )
    _, ended = run(path, tmp_path / 'out')
    results = {r['method']: r for r in load_results(tmp_path / 'out')[0]}
    assert results == {r['method']: r for r in ended.values()}
    assert {m: r['status'] for m, r in results.items()} == dict(
        tri='finished', asy='failed', box='failed', atan='failed'
    )
    assert results['asy']['reason'] == 'the process was killed by signal 9'
    assert results['box']['reason'] == 'the process ended with status 1'
    assert results['atan']['reason'] == 'hung: killed after 45 s'
    assert any('an accident is about to happen' in line for line in results['asy']['log'])
    assert any('this run raises' in line for line in results['box']['log'])
    again = run(
        write(
            tmp_path,
            methods=tuple(kinds),
            timeout=45,
            options={**SMALL, 'custom_imports': dict(imports=['accidents'], allow_failed_imports=False)},
            method_options={
                m: {'default_hooks.accident': dict(type='Accident', kind='none' if m == 'box' else kind)}
                for m, kind in kinds.items()
                if m != 'atan'
            },
        ),
        tmp_path / 'out',
    )[1]
    assert {r['method']: r['status'] for r in again.values()} == dict(asy='failed', box='finished', atan='finished')


def test_one_process_at_a_time(tmp_path):
    (tmp_path / 'out').mkdir()
    with FileLock(tmp_path / 'out' / '.lock'), pytest.raises(ConfigError, match=str(tmp_path / 'out')):
        run(write(tmp_path), tmp_path / 'out')


def test_the_lock_ends_with_the_command(tmp_path):
    for _ in range(2):
        with locked(tmp_path / 'out', 'benchmark'), pytest.raises(ConfigError, match='out'):
            with locked(tmp_path / 'out', 'benchmark'):
                pass


def test_folders_that_are_none(tmp_path):
    (tmp_path / 'file').write_text('mine')
    for out in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(ConfigError, match='file'):
            run(write(tmp_path), out)
    assert (tmp_path / 'file').read_text() == 'mine'


@pytest.mark.parametrize(
    'launcher, name, value',
    [
        ('local', 'adress', 'here'),
        ('local', 'folder', 'here'),
        ('local', 'timeout', 5),
        ('local', 'workers', 0),
        ('local', 'workers', 'two'),
        ('slurm', 'timeout_min', 60),
        ('slurm', 'execute', 'me'),
    ],
)
def test_options_that_a_launcher_does_not_take(launcher, name, value, tmp_path):
    suite = read_suite(write(tmp_path))
    with pytest.raises(ConfigError, match=name):
        run_suite(suite, plan(suite), tmp_path / 'out', '', launcher, options={name: value})
    assert not (tmp_path / 'out').exists()


def test_submitit_has_a_folder_of_the_users_choice(tmp_path, monkeypatch):
    suite, given = read_suite(write(tmp_path)), {}
    monkeypatch.setitem(LAUNCHERS, 'slurm', lambda jobs, execute, **options: given.update(options) or ())
    run_suite(suite, plan(suite), tmp_path / 'out', '', 'slurm', options=dict(folder='logs'))
    assert given == dict(folder='logs', timeout=suite.timeout)


def test_a_file_in_place_of_a_folder_on_the_command_line(tmp_path):
    """As a user runs it: one line, status 2, and nothing has run."""
    (tmp_path / 'file').write_text('mine')
    done = subprocess.run(
        [sys.executable, ROOT / 'tools' / 'benchmark.py', write(tmp_path), '--out', tmp_path / 'file'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert done.returncode == 2 and str(tmp_path / 'file') in line and 'Traceback' not in done.stderr
    assert (tmp_path / 'file').read_text() == 'mine'


@pytest.mark.slow
def test_killed_in_the_middle(tmp_path):
    """The command dies by SIGKILL: its runs die with it, and the next command does the rest."""
    path = write(tmp_path, seeds=[0, 1, 2], options={**SMALL, 'train_cfg.max_iters': 60, 'train_cfg.val_interval': 60})
    command = [sys.executable, ROOT / 'tools' / 'benchmark.py', path, '--out', tmp_path / 'out']
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob('out/runs/*.json')) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {p.name: p.read_bytes() for p in tmp_path.glob('out/runs/*.json')}
    time.sleep(3)
    assert not subprocess.run(['pgrep', '-f', str(tmp_path)], capture_output=True, text=True).stdout
    assert 0 < len(kept) < 6
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f'6 runs, {len(kept)} finished, {6 - len(kept)} to do' in done.stdout
    assert len(load_results(tmp_path / 'out')[0]) == 6
    assert all((tmp_path / 'out' / 'runs' / name).read_bytes() == text for name, text in kept.items())
