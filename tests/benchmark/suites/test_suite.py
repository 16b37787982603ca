"""Suites: what they plan, what makes a run another one, and mistakes in them."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from a2sg_zoo.benchmark.suites import plan as module
from a2sg_zoo.benchmark.suites.plan import plan
from a2sg_zoo.benchmark.suites.suite import read_suite
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / 'configs' / '_base_'
PARTS = dict(
    networks=dict(small=[str(BASE / 'models' / 'resnet_small.py')]),
    datasets=dict(digits=[str(BASE / 'datasets' / 'digits.py')]),
    methods=dict(tri=str(BASE / 'methods' / 'tri.py'), lsg=[str(BASE / 'methods' / 'lsg.py')]),
    common=[str(BASE / 'schedules' / 'short_sgd.py'), str(BASE / 'default_runtime.py')],
)


def write(folder, **changes):
    content = {**dict(name='mine', seeds=[0, 3], reference='tri'), **PARTS, **changes}
    path = folder / 'suite.py'
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in content.items() if value is not None))
    return path


def runs(folder, **changes):
    return plan(read_suite(write(folder, **changes)))


def test_plan(tmp_path):
    planned = runs(
        tmp_path,
        method_options=dict(lsg={'optim_wrapper.optimizer.lr': 0.2}),
        _mine=3,
        options={'optim_wrapper.optimizer.lr': 0.3, 'optim_wrapper.optimizer.momentum': 0.5},
    )
    assert [run.name for run in planned] == [
        'small-digits-tri-s0',
        'small-digits-lsg-s0',
        'small-digits-tri-s3',
        'small-digits-lsg-s3',
    ]
    tri, lsg = planned[2:]
    assert tri.config.randomness.seed == 3 and tri.config.optim_wrapper.optimizer.lr == 0.3
    assert lsg.config.optim_wrapper.optimizer == dict(type='SGD', lr=0.2, momentum=0.5, weight_decay=5e-4)
    assert lsg.config.model.backbone.neuron.type == 'PLIF' and tri.config.model.backbone.neuron.type == 'LIF'
    assert len({run.hash for run in planned}) == 4 and len({(run.code, run.data) for run in planned}) == 1


def test_a_run_is_that_of_the_composed_config(tmp_path):
    by_hand = tmp_path / 'config.py'
    by_hand.write_text(
        f'_base_ = {[*PARTS["networks"]["small"], *PARTS["datasets"]["digits"]]}'
        f' + {[PARTS["methods"]["tri"], *PARTS["common"]]}\nrandomness = dict(seed=0)'
    )
    assert runs(tmp_path)[0].config.to_dict() == load_config(by_hand).to_dict()


def test_tuned_values_come_last(tmp_path):
    (tmp_path / 'best.json').write_text(
        json.dumps({'small-digits-lsg': dict(score=90.0, options={'optim_wrapper.optimizer.lr': 0.07})})
    )
    tri, lsg, *_ = runs(
        tmp_path,
        tuned='best.json',
        method_options=dict(lsg={'optim_wrapper.optimizer.lr': 0.2}, tri={'optim_wrapper.optimizer.lr': 0.3}),
    )
    assert (tri.config.optim_wrapper.optimizer.lr, lsg.config.optim_wrapper.optimizer.lr) == (0.3, 0.07)
    (tmp_path / 'best.json').write_text(json.dumps({'small-digits-asy': dict(options={})}))
    with pytest.raises(ConfigError, match='tuned names small-digits-asy, which the suite has not'):
        runs(tmp_path, tuned='best.json')
    for text in ('{"a"', '[1]', '{"a": 1}'):
        (tmp_path / 'best.json').write_text(text)
        with pytest.raises(ConfigError, match='tuned: best.json is not a best.json'):
            runs(tmp_path, tuned='best.json')


def test_what_makes_it_another_run(tmp_path, monkeypatch):
    first = runs(tmp_path)[0]
    again = runs(tmp_path)[0]
    assert (again.hash, again.code, again.data) == (first.hash, first.code, first.data)
    done = dict(status='finished', hash=first.hash, code=first.code, data=first.data)
    assert first.is_done(done) and not first.is_done({**done, 'status': 'failed'})
    changed = runs(tmp_path, options={'optim_wrapper.optimizer.lr': 0.3})[0]
    assert not changed.is_done(done) and changed.code == first.code
    monkeypatch.setattr(module, 'code_version', lambda: 'another')
    other = runs(tmp_path)[0]
    assert other.hash == first.hash and not other.is_done(done)


def test_code_version_follows_the_sources_of_a_training(tmp_path, monkeypatch):
    package = tmp_path / 'a2sg_zoo'
    shutil.copytree(Path(module.a2sg_zoo.__file__).parent, package, ignore=shutil.ignore_patterns('__pycache__'))
    monkeypatch.setattr(module.a2sg_zoo, '__file__', str(package / '__init__.py'))
    before = module.code_version()
    for name, counts in (('analysis/energy.py', False), ('benchmark/html.py', False), ('neurons/lif.py', True)):
        with open(package / name, 'a') as file:
            file.write('\n')
        assert (module.code_version() != before) == counts, name


def test_data_counts_and_its_place_does_not(tmp_path, monkeypatch):
    def images(name, size):
        for split in ('train', 'test'):
            for label in ('cat', 'dog'):
                (tmp_path / name / split / label).mkdir(parents=True)
                Image.new('RGB', (size, size)).save(tmp_path / name / split / label / 'a.png')

    def run(name):
        monkeypatch.setenv('CIFAR10_FOLDER', str(tmp_path / name))
        return runs(tmp_path, datasets=dict(images=str(BASE / 'datasets' / 'cifar10_subset.py')))[0]

    images('here', 8)
    images('there', 8)
    images('other', 64)
    here, there, other = run('here'), run('there'), run('other')
    assert here.hash == there.hash == other.hash
    assert here.data == there.data != other.data


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(seeds=None), 'missing key seeds; a suite has name, networks'),
        (dict(sedes=[1]), 'unknown key sedes; a suite has name, networks'),
        (dict(seeds=[0, 1, 0]), r'seeds \[0, 1, 0\] has one twice: two runs would have one name'),
        (dict(seeds=[0.5]), 'seeds must be a list of integers >= 0'),
        (dict(seeds=[]), 'seeds must be a list of integers >= 0'),
        (dict(reference='asy'), "reference = 'asy' is not one of the methods tri, lsg"),
        (dict(methods=dict(tri='nothing.py')), r'methods\.tri: .*nothing\.py does not exist'),
        (dict(common=['nothing.py']), r'common: .*nothing\.py does not exist'),
        (dict(methods={}), 'methods is empty'),
        (
            dict(networks={'a-b': PARTS['networks']['small']}),
            "networks: 'a-b' must be made of letters, digits and under",
        ),
        (dict(method_options=dict(asy={})), 'method_options names asy, which methods has not'),
        (dict(search=dict(method_space=dict(asy={}))), 'search.method_space names asy, which methods has not'),
        (dict(search=dict(dataset_options=dict(x={}))), 'search.dataset_options names x, which datasets has not'),
        (dict(options={'optim_wrapper.optimizer.lrr': 1}), r'small-digits-tri\.py: .*SGD takes no such key; did you'),
        (
            dict(options={'custom_hooks.0.policy.type': 'Fixd'}),
            "'Fixd' is not a registered policy; did you mean 'Fixed'",
        ),
    ],
)
def test_mistakes(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=f'(?s){message}'):
        runs(tmp_path, **changes)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match='does not exist'):
        read_suite(tmp_path / 'none.py')
    (tmp_path / 'broken.py').write_text('name = = 1')
    with pytest.raises(ConfigError, match='broken.py: SyntaxError'):
        read_suite(tmp_path / 'broken.py')


@pytest.mark.parametrize('path', sorted((ROOT / 'configs' / 'suites').glob('*.py')), ids=lambda path: path.stem)
def test_suites_of_the_zoo(path, tmp_path, monkeypatch):
    monkeypatch.setenv('CIFAR10_FOLDER', str(tmp_path))
    suite = read_suite(path)
    assert len(plan(suite)) == len(suite.networks) * len(suite.datasets) * len(suite.methods) * len(suite.seeds)
