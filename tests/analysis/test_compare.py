"""Runs side by side: who is compared with whom, what is kept, what is undefined."""

import json
import math
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from a2sg_zoo.analysis.compare import Entry, Group, as_csv, as_json, cell_of, compare, notes, spearman, tables
from a2sg_zoo.analysis.compare import measurements as measures
from a2sg_zoo.analysis.compare.measurements import measure_run, measure_training
from a2sg_zoo.analysis.compare.report import write_comparison
from a2sg_zoo.analysis.loading import load_batches, load_network
from a2sg_zoo.analysis.measures.fisher import fisher_spectrum
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.runs import read_runs
from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import CheckpointError, ConfigError

from .networks import save_run_checkpoint

BASE = Path('configs/_base_').resolve()
QUICK = dict(samples=6, batch_size=4, vectors=2, steps=3, points=3, directions=2)


def make_run(folder, method='tri', seed=0, extra='', change=None, log=True):
    """The folder of a run that never trained: weights of a seed, after batch norms have seen data."""
    folder.mkdir(parents=True)
    files = [
        str(BASE / name)
        for name in (
            'models/resnet_small.py',
            'datasets/digits.py',
            *(f'methods/{name}.py' for name in method.split('+')),
            'schedules/short_sgd.py',
            'default_runtime.py',
        )
    ]
    config = folder / 'run.py'
    config.write_text(
        f'_base_ = {files!r}\nmodel = dict(backbone=dict(widths=(8, 8, 8), stem=8, T=2), '
        f'head=dict(in_channels=8))\nrandomness = dict(seed={seed})\n{extra}\n'
    )
    cfg = prepare_config(config, work_dir=folder / 'built')
    torch.manual_seed(seed or 0)
    model = build_runner(cfg).model
    model.train()(torch.randn(8, 3, 8, 8))
    weights = model.state_dict()
    if change:
        change(weights)
    save_run_checkpoint(weights, folder / 'iter_2.pth', 2)
    if log:
        layer = dict(beta=[1.0, 1.0], sgv=2.0 + seed, tgc=[0.5], cv=[1.0, None], rate=0.1)
        records = [dict(iter=i, layers={'a': layer, 'b': dict(layer, sgv=None, cv=[None, 4.0])}) for i in (1, 2)]
        (folder / 'adaptation.jsonl').write_text(''.join(json.dumps(record) + '\n' for record in records))
    return folder


def changed_run(folder, tmp_path, extra):
    """The folder of another run, of a config with more lines."""
    other = tmp_path / 'other'
    shutil.copytree(folder, other)
    (other / 'iter_2.pth').write_bytes(b'other weights')
    (other / 'last_checkpoint').write_text(str(other / 'iter_2.pth'))
    with (other / 'run.py').open('a') as config:
        config.write(extra)
    return other


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp('runs')
    return [make_run(root / f'{method}_{seed}', method, seed) for method in ('tri', 'a2sg') for seed in (0, 1)]


def test_what_a_run_says_of_itself(folders, tmp_path):
    runs = read_runs(folders)
    assert [(run.method, run.seed) for run in runs] == [('fixed TRI', 0), ('fixed TRI', 1), ('A2SG', 0), ('A2SG', 1)]
    assert {run.title for run in runs} == {'SpikingResNet on Digits 8 x 8'}
    sam = make_run(tmp_path / 'sam', 'tri+sam')
    other = make_run(tmp_path / 'a2sg', 'a2sg', 5, 'adaptation = dict(log_interval=3, policy=dict(interval=7))')
    runs = read_runs([*folders, sam, other])
    assert [run.method for run in runs] == [
        'fixed TRI',
        'fixed TRI',
        *['A2SG [policy.interval = 20]'] * 2,
        'fixed TRI + SAM',
        'A2SG [policy.interval = 7]',
    ]


def test_runs_that_differ_in_more_than_the_seed_are_different_methods(folders, tmp_path):
    extra = """
model["backbone"]["T"] = 4
train_cfg = dict(max_iters=9000)
param_scheduler = [dict(type="PolyLR", by_epoch=False, power=2.0)]
train_dataloader = dict(batch_size=7)
custom_hooks = [dict(type="TrainingScores")]
ema = dict(momentum=0.1)
"""
    first, second, changed = (run.method for run in read_runs([*folders[:2], changed_run(folders[1], tmp_path, extra)]))
    assert first == second
    for key, value in {
        'backbone.T': 4,
        'train_cfg.max_iters': 9000,
        'param_scheduler.0.power': 2.0,
        'train_dataloader.batch_size': 7,
        'custom_hooks.0.type': 'TrainingScores',
        'ema.momentum': 0.1,
    }.items():
        assert f'{key} = {value}' in changed and f'{key} = ' in first and f'{key} = {value}' not in first


def test_how_data_are_loaded_and_how_often_a_run_is_scored_make_no_method(folders, tmp_path):
    other = changed_run(
        folders[1], tmp_path, 'train_dataloader = dict(num_workers=2)\ntrain_cfg = dict(val_interval=7)'
    )
    assert {run.method for run in read_runs([*folders[:2], other])} == {'fixed TRI'}


def test_a_seed_that_was_drawn(tmp_path):
    folder = make_run(tmp_path / 'a', seed=None, log=False)
    assert read_runs([folder])[0].seed is None
    (folder / 'run.json').write_text('{"seed": 77}')
    assert read_runs([folder])[0].seed == 77


def test_measures_agree_with_their_makers_and_are_kept(folders, tmp_path, monkeypatch):
    run = read_runs(folders[:1])[0]
    found = measure_run(run, ['accuracy', 'fisher', 'landscape'], tmp_path, QUICK)
    cfg = prepare_config(run.config, work_dir=tmp_path / 'log')
    model = load_network(cfg, run.checkpoint)
    objective = Objective(model, load_batches(cfg, model, samples=6, batch_size=4))
    assert found['sections']['fisher']['values']['fisher'] == pytest.approx(
        fisher_spectrum(objective).eigenvalues['whole network']
    )
    accuracy = found['sections']['accuracy']
    assert accuracy['test_samples'] == 360 and accuracy['values']['train_loss'] == pytest.approx(objective.loss())
    assert accuracy['values']['test_error'] == 100 - accuracy['values']['accuracy']
    landscape = found['sections']['landscape']
    assert landscape['loss'][1] == pytest.approx(objective.loss())
    assert landscape['values']['rise'] == pytest.approx(
        (landscape['loss'][0] + landscape['loss'][2]) / 2 - objective.loss()
    )
    # nothing is loaded again, and only what is missing is measured
    monkeypatch.setattr(measures, 'load_network', None)
    assert measure_run(run, ['accuracy', 'fisher', 'landscape'], tmp_path, QUICK) == found
    assert list(measure_run(run, ['fisher'], tmp_path, QUICK)['sections']) == ['fisher']
    for other in (['energy'], QUICK), (['fisher'], QUICK | dict(samples=5)), (['landscape'], QUICK | dict(span=2.0)):
        with pytest.raises(TypeError, match='not callable'):
            measure_run(run, other[0], tmp_path, other[1])
    # a file that was cut short is measured again
    (kept,) = tmp_path.glob('*.json')
    kept.write_text(kept.read_text()[:-40])
    with pytest.raises(TypeError, match='not callable'):
        measure_run(run, ['fisher'], tmp_path, QUICK)


def test_an_interruption_loses_one_section(folders, tmp_path, monkeypatch):
    run = read_runs(folders[:1])[0]
    calls = []

    def stop(loaded):
        calls.append('energy')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(measures.SECTIONS, 'energy', stop)
        with pytest.raises(KeyboardInterrupt):
            measure_run(run, ['fisher', 'energy'], tmp_path, QUICK)
    with monkeypatch.context() as patch:
        patch.setitem(measures.SECTIONS, 'fisher', lambda loaded: calls.append('fisher'))
        found = measure_run(run, ['fisher', 'energy'], tmp_path, QUICK)
    assert calls == ['energy'] and found['sections']['energy']['values']['energy_nj'] > 0


def test_one_surrogate_for_all_is_that_of_the_fixed_triangle(folders, tmp_path):
    tri, asy = (
        measure_run(run, ['fisher', 'hessian', 'common'], tmp_path, QUICK)['sections']
        for run in read_runs([folders[0], folders[2]])
    )
    assert tri['common']['values']['fisher_common'] == tri['fisher']['values']['fisher']
    assert tri['common']['values']['hessian_common'] == tri['hessian']['values']['hessian']
    assert asy['common']['values']['fisher_common'] != asy['fisher']['values']['fisher']


def test_means_over_a_training(folders):
    found = measure_training(read_runs(folders[1:2])[0])
    # over the layers and time steps that have the statistic
    assert found['values'] == dict(
        sgv_end=3.0,
        sgv_training=3.0,
        cv_end=2.5,
        cv_training=2.5,
        tgc_end=0.5,
        tgc_training=0.5,
        variance_end=None,
        variance_training=None,
    )
    assert found['curves']['cv'] == [[1, 2], [2.5, 2.5]]


def entries(values, method='A', undefined=None):
    run = type('Run', (), dict(method=method, path=Path('x'), seed=0))
    return [Entry(run, dict(all=dict(values=v, undefined=undefined or {})), 1) for v in values]


def test_cells():
    cell = cell_of(entries([dict(a=1.0), dict(a=3.0), dict(a=None)], undefined=dict(a='silent')), 'a')
    assert (cell.mean, cell.std, cell.n, cell.of) == (2.0, math.sqrt(2), 2, 3)
    assert str(cell) == '2.000 ± 1.414 (2 of 3 runs)'
    assert str(cell_of(entries([dict(a=None)], undefined=dict(a='no gradient')), 'a')) == 'undefined: no gradient'
    assert str(cell_of(entries([dict(a=123456.0), dict(a=123456.0)]), 'a')) == '123,456 ± 0'
    assert str(cell_of(entries([dict(a=-0.0)]), 'a')) == '0'


def test_rank_correlation():
    pairs = [(1, 3), (2, 1), (3, 4), (4, 2), (5, 9), (6, 7), (7, 8), (8, 20)]
    group = Group('g', entries([dict(fisher=float(a), test_error=float(b)) for a, b in pairs]))
    found = spearman(group, 'fisher')
    n = len(pairs)
    ranks = [stats.rankdata(column) for column in zip(*pairs)]
    assert found['rho'] == pytest.approx(1 - 6 * sum((a - b) ** 2 for a, b in zip(*ranks)) / (n * (n * n - 1)))
    assert found['why'] == ''
    few = spearman(Group('g', group.entries[:5]), 'fisher')
    assert few['n'] == 5 and few['rho'] is not None and '5' in few['why']
    two = spearman(Group('g', group.entries[:2]), 'fisher')
    assert (two['rho'], two['p'], two['n']) == (None, None, 2) and '2' in two['why']
    same = Group('g', entries([dict(fisher=1.0, test_error=float(b)) for b in range(9)]))
    assert spearman(same, 'fisher')['rho'] is None and spearman(same, 'fisher')['why']


def test_a_silent_layer_is_undefined_with_its_reason(tmp_path):
    def silence(weights):
        for key in weights:
            if 'bn1' in key and key.endswith('bias') or 'conv1.bn.bias' in key:
                weights[key] = torch.full_like(weights[key], -100.0)

    folder = make_run(tmp_path / 'run', change=silence, log=False)
    groups, failed = compare(read_runs([folder]), ['variation', 'fisher', 'energy'], tmp_path / 'out', QUICK)
    text = write_comparison(groups, failed, tmp_path / 'out')
    assert not failed and 'nan' not in text.lower()
    (entry,) = groups[0].entries
    silent, unreached = entry.sections['variation']['notes']
    assert 'backbone.stages.0.0.neuron1' in silent and 'CV, SGV and TGC' in unreached
    assert f'- {entry.run.name}: {silent}' in text and f'- {entry.run.name}: {unreached}' in text
    assert (
        'undefined: ' in text and 'adaptation.jsonl' in entry.undefined['cv_end'] and entry.undefined['cv_end'] in text
    )
    values = [line.split(',')[5] for line in as_csv(groups).splitlines() if ',cv_end,' in line]
    assert values == ['']


def test_runs_that_cannot_be_measured_do_not_stop_the_others(folders, tmp_path):
    def diverge(weights):
        weights['head.layers.0.bias'][0] = math.nan

    bad = make_run(tmp_path / 'bad', change=diverge)
    other = make_run(tmp_path / 'wider', extra='model["backbone"]["stem"] = 16')
    groups, failed = compare(read_runs([bad, *folders[:2], other]), ['fisher'], tmp_path / 'out', QUICK)
    assert list(failed) == [bad] and 'head.layers.0.bias' in failed[bad] and '1 of 10' in failed[bad]
    # another network is a group of its own
    assert [len(group.entries) for group in groups] == [2, 1]
    assert groups[0].title != groups[1].title and f'{groups[1].entries[0].parameters:,}' in groups[1].title
    assert any(f'{bad.parent.name}/bad' in line and failed[bad] in line for line in notes(groups, failed))


def test_a_section_that_cannot_measure_a_network_leaves_the_others(folders, tmp_path, monkeypatch):
    def refuse(loaded):
        raise ConfigError('energy: the network calls einsum')

    runs, what = read_runs(folders[:2]), ['energy', 'bridge']
    measure_run(runs[0], ['energy'], tmp_path / 'runs', QUICK)
    monkeypatch.setitem(measures.SECTIONS, 'energy', refuse)
    monkeypatch.setitem(measures.SECTIONS, 'bridge', lambda loaded: dict(values=dict(ratio=2.0)))
    groups, failed = compare(runs, what, tmp_path, QUICK)
    entries = groups[0].entries
    assert not failed and [entry.values['ratio'] for entry in entries] == [2.0, 2.0]
    assert ['energy' in entry.sections for entry in entries] == [True, False]
    assert entries[1].not_measured == dict(energy='energy: the network calls einsum')
    (note,) = notes(groups, failed)
    assert entries[1].run.name in note and entries[1].not_measured['energy'] in note
    # it is tried again by the next call
    monkeypatch.setitem(measures.SECTIONS, 'energy', lambda loaded: dict(values=dict(energy_nj=1.0)))
    assert measure_run(runs[1], what, tmp_path / 'runs', QUICK)['sections']['energy']['values'] == dict(energy_nj=1.0)


def test_mistakes(folders, tmp_path):
    with pytest.raises(ConfigError, match='tri_0.*tri_0'):
        read_runs([folders[0], folders[1], folders[0]])
    with pytest.raises(ConfigError, match='iter_2.pth'):
        read_runs([folders[0] / 'iter_2.pth'])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(CheckpointError, match='empty'):
        read_runs([tmp_path / 'empty'])
    with pytest.raises(ConfigError, match='--what.*colour.*accuracy'):
        compare([], ['colour'], tmp_path)


@pytest.mark.parametrize('workers', [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_command(folders, tmp_path, monkeypatch, capsys, workers):
    out = tmp_path / 'out'
    options = [x for key, value in QUICK.items() for x in (f'--{key.replace("_", "-")}', str(value))]
    monkeypatch.setattr(
        sys,
        'argv',
        [
            'compare_runs.py',
            *map(str, folders),
            '--out',
            str(out),
            *options,
            '--workers',
            str(workers),
            '--tensorboard',
        ],
    )
    runpy.run_path('tools/compare_runs.py', run_name='__main__')
    report = (out / 'report.md').read_text()
    assert report.strip() in capsys.readouterr().out and 'nan' not in report.lower()
    assert 'fixed TRI (seeds 0, 1), A2SG (seeds 0, 1)' in report
    stems = ('cv', 'sgv', 'tgc', 'sharpness', 'sharpness_error', 'fisher_layers', 'landscape')
    for stem in stems:
        assert (out / f'{stem}.png').stat().st_size > 5000 and f'![{stem}]({stem}.png)' in report
    assert set(EventAccumulator(str(out)).Reload().Tags()['images']) == {f'analysis/{stem}' for stem in stems}
    data = json.loads((out / 'summary.json').read_text())
    one = data['groups'][0]['methods']['A2SG']['measures']['fisher']
    single = [
        float(line.split(',')[5])
        for line in (out / 'runs.csv').read_text().splitlines()
        if ',A2SG,' in line and ',fisher,' in line
    ]
    assert one['n'] == 2 and one['mean'] == pytest.approx(sum(single) / 2)
    monkeypatch.setattr(sys, 'argv', [*sys.argv, '--samples', '0'])
    with pytest.raises(SystemExit, match='2'):
        runpy.run_path('tools/compare_runs.py', run_name='__main__')
    assert '--samples' in capsys.readouterr().err


def test_tables_leave_out_what_was_not_measured(folders, tmp_path):
    groups, failed = compare(read_runs(folders[:2]), ['energy'], tmp_path, QUICK)
    titles = [title for title, _ in tables(groups[0])]
    assert titles == ['Local gradients over training', 'Energy']
    assert json.loads(as_json(groups, failed))['groups'][0]['spearman']['fisher']['rho'] is None


def test_kept_results_depend_on_the_version_of_the_measures(folders, tmp_path, monkeypatch):
    run = read_runs(folders[:1])[0]
    found = measure_run(run, ['fisher'], tmp_path, QUICK)
    (kept,) = tmp_path.glob('*.json')
    before = kept.read_bytes()
    assert measure_run(run, ['fisher'], tmp_path, QUICK) == found and kept.read_bytes() == before
    monkeypatch.setattr(measures, 'VERSION', measures.VERSION + 1)
    assert measure_run(run, ['fisher'], tmp_path, QUICK)['sections'] == found['sections']
    assert kept.read_bytes() != before
