"""Suites: what they plan, what makes a run another one, and mistakes in them."""

import json
import math
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from a2sg_zoo.benchmark.suites.plan import _identity, identify, plan
from a2sg_zoo.benchmark.suites.suite import read_suite
from a2sg_zoo.cli.benchmark import main
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import mark_as_cache

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
    assert len({run.hash for run in planned}) == 4 and len({(run.version, run.data) for run in planned}) == 1


def test_a_run_is_that_of_the_composed_config(tmp_path):
    by_hand = tmp_path / 'config.py'
    by_hand.write_text(
        f'_base_ = {[*PARTS["networks"]["small"], *PARTS["datasets"]["digits"]]}'
        f' + {[PARTS["methods"]["tri"], *PARTS["common"]]}\nrandomness = dict(seed=0)'
    )
    expected = load_config(by_hand).to_dict()
    expected.pop('demo')
    assert runs(tmp_path)[0].config.to_dict() == expected


def test_methods_by_name(tmp_path):
    mine = tmp_path / 'mine.py'
    mine.write_text("_base_ = 'a2sg_zoo::_base_/methods/a2sg.py'\nadaptation = dict(policy=dict(interval=2))")
    tri, both, own = runs(tmp_path, methods=['tri', ['a2sg', 'sam'], 'mine.py'], seeds=[0])
    assert [run.method for run in (tri, both, own)] == ['tri', 'a2sg_sam', 'mine']
    assert both.config.adaptation.policy.type == 'A2SG' and both.config.optim_wrapper.type == 'SAMOptimWrapper'
    assert own.config.adaptation.policy.interval == 2 and tri.config.optim_wrapper.type == 'OptimWrapper'
    often = runs(
        tmp_path, methods=dict(tri='tri', often='a2sg'), method_options=dict(often={'adaptation.policy.interval': 1})
    )
    assert often[1].config.adaptation.policy.interval == 1


def test_files_are_relative_to_the_file_that_names_them(tmp_path):
    theirs, mine = tmp_path / 'theirs' / 'suites', tmp_path / 'mine'
    for folder in (theirs, mine):
        folder.mkdir(parents=True)
    for name, key in (('network', 'networks'), ('data', 'datasets')):
        (base,) = next(iter(PARTS[key].values()))
        (theirs.parent / f'{name}.py').write_text(f'_base_ = {base!r}')
    (theirs / 'method.py').write_text("_base_ = 'a2sg_zoo::_base_/methods/a2sg.py'")
    (theirs / 'best.json').write_text(json.dumps({f'small-digits-{name}': dict(options={}) for name in ('tri', 'own')}))
    write(
        theirs,
        networks=dict(small='../network.py', other='../network.py'),
        datasets=dict(digits=['../data.py']),
        methods=dict(tri='tri', own='method.py'),
        tuned='best.json',
    )
    derived = mine / 'suite.py'
    derived.write_text(
        "_base_ = '../theirs/suites/suite.py'\nname = 'derived'\n"
        'networks = dict(_delete_=True, small=_base_.networks.small)\nseeds = [7]\n'
    )
    suite = read_suite(derived)
    assert suite.networks == dict(small=[str(theirs.parent / 'network.py')])
    assert [run.name for run in plan(suite)] == ['small-digits-tri-s7', 'small-digits-own-s7']
    derived.write_text("_base_ = '../theirs/suites/suite.py'\nmethods = dict(more='method.py')\n")
    with pytest.raises(ConfigError, match=r'methods\.more.*mine.method\.py'):  # of this folder, which has no such file
        read_suite(derived)


@pytest.mark.parametrize('shipped', sorted((ROOT / 'configs' / 'suites').glob('*.py')), ids=lambda path: path.stem)
def test_a_suite_anywhere_can_inherit_a_shipped_one(tmp_path, shipped):
    derived = tmp_path / 'mine.py'
    derived.write_text(f"_base_ = 'a2sg_zoo::suites/{shipped.name}'\nname = 'mine'\n")
    suite, original = read_suite(derived), read_suite(shipped)
    for key in ('networks', 'datasets', 'methods', 'common', 'tuned'):
        assert getattr(suite, key) == getattr(original, key)


def test_the_number_of_classes_follows_from_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv('CIFAR_ROOT', str(tmp_path))
    digits, cifar = runs(
        tmp_path,
        datasets=dict(PARTS['datasets'], cifar='a2sg_zoo::_base_/datasets/cifar100.py'),
        methods=['tri'],
        seeds=[0],
    )
    assert (digits.config.model.head.num_classes, cifar.config.model.head.num_classes) == (10, 100)


def test_tuned_values_come_last(tmp_path):
    found = {'small-digits-lsg': dict(score=90.0, options={'optim_wrapper.optimizer.lr': 0.07})}
    (tmp_path / 'best.json').write_text(json.dumps(found))
    with pytest.raises(ConfigError, match='tuned.*small-digits-tri'):  # no comparison of tuned and untuned methods
        runs(tmp_path, tuned='best.json')
    (tmp_path / 'best.json').write_text(json.dumps({**found, 'small-digits-tri': dict(options={})}))
    tri, lsg, *_ = runs(
        tmp_path,
        tuned='best.json',
        method_options=dict(lsg={'optim_wrapper.optimizer.lr': 0.2}, tri={'optim_wrapper.optimizer.lr': 0.3}),
    )
    assert (tri.config.optim_wrapper.optimizer.lr, lsg.config.optim_wrapper.optimizer.lr) == (0.3, 0.07)
    (tmp_path / 'best.json').write_text(json.dumps({'small-digits-asy': dict(options={})}))
    with pytest.raises(ConfigError, match='tuned.*small-digits-asy'):
        runs(tmp_path, tuned='best.json')
    for text in ('{"a"', '[1]', '{"a": 1}', '{"a": {"options": 3}}'):
        (tmp_path / 'best.json').write_text(text)
        with pytest.raises(ConfigError, match='tuned.*best.json'):
            runs(tmp_path, tuned='best.json')


def test_what_makes_it_another_run(tmp_path):
    first, again = runs(tmp_path)[0], runs(tmp_path)[0]
    assert again.identity == first.identity
    done = dict(status='finished', **first.identity)
    assert first.is_done(done) and not first.is_done({**done, 'status': 'failed'})
    for key, name in (('hash', 'config'), ('version', 'version'), ('data', 'data')):
        assert not first.is_done({**done, key: 'other'}) and first.changes({**done, key: 'other'}) == [name]
    changed = runs(tmp_path, options={'optim_wrapper.optimizer.lr': 0.3})[0]
    assert changed.changes(done) == ['config']


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


def test_caches_and_other_data_sets_in_a_shared_folder_do_not_count(tmp_path):
    (tmp_path / 'SHD').mkdir()
    for name in ('shd_train.h5', 'shd_test.h5'):
        (tmp_path / 'SHD' / name).write_bytes(b'1')

    def data():
        _identity.cache_clear()
        return identify(Config(dict(val_dataloader=dict(dataset=dict(type='SHD', data_root=str(tmp_path))))))['data']

    first = data()
    cache = tmp_path / 'SHD' / 'counts' / 'T100'
    cache.mkdir(parents=True)
    mark_as_cache(cache)
    (cache / 'a.npz').write_bytes(b'2')
    (tmp_path / 'MNIST').mkdir()
    (tmp_path / 'MNIST' / 'a').write_bytes(b'3')
    assert data() == first
    (tmp_path / 'SHD' / 'shd_test.h5').write_bytes(b'22')
    assert data() != first


def test_a_text_counts_by_its_contents(tmp_path):
    def data(text):
        (tmp_path / 'book.txt').write_text(text)
        _identity.cache_clear()
        return identify(Config(dict(dataset=dict(type='Text', data_root=str(tmp_path / 'book.txt')))))['data']

    assert data('abc') == data('abc') != data('abd')


def test_weights_that_a_run_begins_with_count(tmp_path):
    weights = tmp_path / 'first.pth'

    def run(checkpoint):
        return runs(tmp_path, options={'model.init_cfg': dict(type='Pretrained', checkpoint=checkpoint)})[0]

    weights.write_bytes(b'1')
    first = run(str(weights))
    assert run(str(weights)).identity == first.identity
    (tmp_path / 'moved.pth').write_bytes(b'1')
    assert run(str(tmp_path / 'moved.pth')).identity == first.identity
    weights.write_bytes(b'2')
    assert run(str(weights)).changes(first.identity) == ['data']
    named = {name: run(f'zoo:{name}').data for name in ('resnet_small_digits_tri', 'resnet9_counts_cifar10')}
    assert len({*named.values(), first.data, runs(tmp_path)[0].data}) == 4


LR = 'optim_wrapper.optimizer.lr'
PUBLISHED = dict(network='small', dataset='digits', method='tri', value=90.0, source='Paper')
# (changes of the suite, what the message must name)
MISTAKES = [
    (dict(seeds=None), 'seeds'),
    (dict(sedes=[1]), 'sedes'),
    (dict(seeds=[0, 1, 0]), r'seeds.*\[0, 1, 0\]'),
    *((dict(seeds=seeds), 'seeds') for seeds in ([0.5], [], 3, '012', [True], [-1], [2**32])),
    (dict(reference='asy'), "reference.*'asy'.*tri, lsg"),
    (dict(reference=['tri']), 'reference'),
    (dict(methods=dict(tri='nothing.py')), r'methods\.tri.*nothing\.py'),
    (dict(methods=dict(tri='\0')), r'methods\.tri'),
    (dict(common=['nothing.py']), r'common.*nothing\.py'),
    (dict(common=[3]), 'common'),
    *((dict(methods=methods), 'methods') for methods in ({}, dict(tri=3), dict(tri=[None]), [3], [[]], [['tri', 3]])),
    (dict(methods=['tri', 'tri']), 'methods.*tri'),
    (dict(methods=['tri', 'a2sgg']), 'methods.*a2sgg.*a2sg'),
    (dict(methods=['tri', ['tri', 'a2sg']]), 'adaptation.*tri.*a2sg'),
    (dict(methods=dict(tri='tri', lsg='lsgg')), r'methods\.lsg.*lsgg.*lsg'),
    (dict(networks=dict(small='resnet_small_digits_tri')), r'networks\.small'),
    (dict(networks=[PARTS['networks']['small']]), 'networks'),
    *(
        (dict(networks={name: PARTS['networks']['small']}), 'networks')
        for name in ('a-b', '', '../a', '/a', 'a/b', 'a b', 'a\0', '.', 'a' * 300)
    ),
    *((dict(name=name), 'name') for name in ('', '../x', '/x', 'a/b', '.hidden', 'a\0', 'a' * 300, 3, None)),
    (dict(methods=dict(PARTS['methods'], TRI=PARTS['methods']['tri'])), 'methods.*tri.*TRI'),
    (dict(methods=dict(PARTS['methods'], again=PARTS['methods']['tri'])), 'methods.*tri.*again'),
    (dict(datasets=dict(PARTS['datasets'], again=PARTS['datasets']['digits'])), 'datasets.*digits.*again'),
    (dict(method_options=dict(asy={})), 'method_options.*asy'),
    (dict(method_options=dict(tri=[LR])), 'method_options'),
    (dict(options=[LR]), 'options'),
    (dict(search=dict(method_space=dict(asy={}))), r'search\.method_space.*asy'),
    (dict(search=dict(dataset_options=dict(x={}))), r'search\.dataset_options.*x'),
    (dict(search=dict(method_space=['tri'])), r'search\.method_space'),
    (dict(search=dict(spaec={})), 'search.*spaec'),
    (dict(search=[]), 'search'),
    *((dict(timeout=timeout), 'timeout') for timeout in ('900', 0, -1, math.nan, math.inf, True)),
    (dict(metric='mIoU'), "metric.*digits.*'mIoU'.*top1"),
    (dict(metric=['top1']), 'metric'),
    *(
        (dict(published=published), 'published')
        for published in (PUBLISHED, ['Paper'], [{**PUBLISHED, 'value': '90'}], [{**PUBLISHED, 'page': 3}])
    ),
    (dict(tuned=3), 'tuned'),
    (dict(tuned='none.json'), r'tuned.*none\.json'),
    (dict(options={'optim_wrapper.optimizer.lrr': 1}), r'small-digits-tri\.py.*lrr'),
]


@pytest.mark.parametrize('changes, named', MISTAKES, ids=lambda value: str(value)[:60])
def test_mistakes(tmp_path, changes, named):
    with pytest.raises(ConfigError, match=f'(?s){named}'):
        runs(tmp_path, **changes)


@pytest.mark.parametrize('metric', ['top1', 'top5', 'top1_t2', 'best_top1'])
def test_metrics_that_an_evaluation_gives(tmp_path, metric):
    assert runs(tmp_path, metric=metric)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match='none.py'):
        read_suite(tmp_path / 'none.py')
    (tmp_path / 'broken.py').write_text('name = = 1')
    with pytest.raises(ConfigError, match='broken.py'):
        read_suite(tmp_path / 'broken.py')


@pytest.mark.parametrize('path', sorted((ROOT / 'configs' / 'suites').glob('*.py')), ids=lambda path: path.stem)
def test_suites_of_the_zoo(path, tmp_path, monkeypatch):
    monkeypatch.setenv('CIFAR10_FOLDER', str(tmp_path))
    suite = read_suite(path)
    assert len(plan(suite)) == len(suite.networks) * len(suite.datasets) * len(suite.methods) * len(suite.seeds)


def test_several_patterns_choose_runs(tmp_path, capsys):
    arguments = [str(write(tmp_path)), '--out', str(tmp_path / 'out'), '--dry-run', '--only']
    main([*arguments, '*-tri-*', '*-lsg-s3'])
    assert ': 3 runs' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*arguments, 'absent', 'nowhere'])
    assert 'absent nowhere' in capsys.readouterr().err
