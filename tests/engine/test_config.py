"""From the name of a config to the config of a run."""

import json
from pathlib import Path

import pytest

from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import NEURONS

CONFIGS = Path(__file__).parents[2] / 'configs'
OURS = CONFIGS / 'spikformer_ade20k_a2sg.py'
DIGITS = CONFIGS / 'resnet' / 'resnet_small_digits.py'


@pytest.fixture
def config(tmp_path):
    """Writes a config on the digits' network, and returns its path."""

    def write(text='', bases=(f'{DIGITS}',)):
        path = tmp_path / 'c.py'
        path.write_text(f'_base_ = {[*bases]}\n{text}\n')
        return path

    return write


# methods


def test_methods_are_merged_over_a_config():
    cfg = load_config('resnet18_cifar10', methods=['a2sg', 'tet', 'sam'])
    assert cfg.adaptation.policy.type == 'A2SG' and cfg.model.head.loss.type == 'TET'
    assert cfg.optim_wrapper.type == 'SAMOptimWrapper' and cfg.optim_wrapper.optimizer.type == 'SGD'
    assert Path(cfg.filename).name == 'resnet18_cifar10_a2sg_tet_sam.py'


def test_a_method_of_ones_own(tmp_path, config):
    (tmp_path / 'mine.py').write_text("_base_ = 'a2sg_zoo::_base_/methods/a2sg.py'\nadaptation = dict(log_interval=7)")
    cfg = load_config(config(), methods=[str(tmp_path / 'mine.py')])
    assert (cfg.adaptation.policy.type, cfg.adaptation.log_interval) == ('A2SG', 7)
    assert Path(cfg.filename).name == 'c_mine.py'


def test_an_old_name_is_a_config_and_its_method():
    cfg = load_config('configs/resnet_small_digits_tri.py')
    assert cfg.adaptation.policy.surrogate.type == 'TRI' and Path(cfg.filename).name == 'resnet_small_digits_tri.py'
    with pytest.raises(ConfigError, match='adaptation.*tri.*a2sg'):
        load_config('configs/resnet_small_digits_tri.py', methods=['a2sg'])


def test_values_of_a_method_have_dotted_names():
    cfg = load_config(
        'resnet_small_digits',
        {
            'adaptation.policy.interval': 1,
            'membrane_loss.weight': 0.5,
            'loss.regularization': 0.2,
            'optim_method.rho': 0.3,
        },
        methods=['a2sg', 'im_loss', 'tet', 'sam'],
    )
    assert cfg.adaptation.policy.interval == 1 and cfg.membrane_loss.weight == 0.5
    assert cfg.model.head.loss.regularization == 0.2 and cfg.optim_wrapper.rho == 0.3


@pytest.mark.parametrize(
    'key, better, method',
    [
        ('model.head.loss.regularization', 'loss.regularization', 'tet'),
        ('optim_wrapper.rho', 'optim_method.rho', 'sam'),
        ('optim_wrapper.type', 'optim_method.type', 'sam'),
        ('model.backbone.neuron.type', 'neuron.type', 'lsg'),
    ],
)
def test_an_override_that_a_method_would_undo_is_refused(key, better, method):
    with pytest.raises(ConfigError, match=rf'{key}\b.*\b{better}\b'):
        load_config('resnet_small_digits', {key: 1}, methods=[method])


def test_a_loss_of_classification_is_refused_on_a_segmentor():
    with pytest.raises(ConfigError, match=r'\bloss\b.*TET.*EncoderDecoder'):
        load_config('spikformer_ade20k', methods=['tet'])


def test_a_method_reaches_every_neuron(config):
    cfg = load_config('resnet19_cifar10', {'model.head.neuron.tau': 3.0}, methods=['lsg'])
    published = dict(tau=2.0, decay_input=False, detach_reset=False)
    assert cfg.model.backbone.neuron == dict(type='PLIF', **published)
    assert cfg.model.head.neuron == dict(type='PLIF', **{**published, 'tau': 3.0})
    with pytest.raises(ConfigError, match='neuron'):
        load_config(config("neuron = dict(type='PLIF')\nmodel = dict(type='FCN')", bases=()))


def test_another_neuron_keeps_the_constants_that_both_have():
    cfg = load_config('resnet19_cifar10', {'neuron.type': 'ALIF', 'neuron.tau_a': 5.0})
    shared = dict(tau=2.0, decay_input=False, detach_reset=False)
    assert cfg.model.backbone.neuron == dict(type='ALIF', tau_a=5.0, **shared)
    assert load_config('resnet19_cifar10', {'neuron.type': 'PSN'}).model.backbone.neuron == dict(type='PSN')
    # what the command line says itself is not dropped, but checked
    with pytest.raises(ConfigError, match=r'model\.backbone\.neuron\.tau\b'):
        load_config('resnet19_cifar10', {'neuron.type': 'PSN', 'model.backbone.neuron.tau': 3.0})


def test_every_neuron_takes_the_place_of_the_one_in_a_config():
    for name in NEURONS.own_names():
        if name != 'Recurrent':  # it has to know its number of features
            cfg = load_config('resnet_small_digits', {'neuron.type': name})
            assert type(NEURONS.build(cfg.model.backbone.neuron)).__name__ == name


def test_an_override_changes_the_neurons_of_the_class():
    cfg = load_config('spikformer_4_384_cifar10', {'model.backbone.neuron.tau': 3.0})
    assert cfg.model.backbone.neuron == dict(type='LIF', tau=3.0, surrogate=dict(type='Sigmoid', alpha=4.0))
    assert 'neuron' not in load_config('spikformer_4_384_cifar10').model.backbone


# one place for a value


@pytest.mark.parametrize('demo', [False, True])
@pytest.mark.parametrize('way', ['option', 'file'])
def test_the_data_root_reaches_every_data_set(demo, way, config):
    path = config("data_root = '/data/x'", bases=[str(OURS)]) if way == 'file' else OURS
    cfg = load_config(path, {'data_root': '/data/x'} if way == 'option' else {}, demo=demo and way == 'option')
    assert [cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'val', 'test')] == ['/data/x'] * 3


def test_a_copy_of_the_data_root_is_replaced(config, tmp_path):
    """As in MMSegmentation's configs, whose data sets repeat it."""
    (tmp_path / 'base.py').write_text(
        "data_root = '/a'\ntrain_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=dict("
        "type='ADE20KDataset', data_root=data_root)))"
    )
    path = config("data_root = '/b'", bases=['base.py'])
    for options, expected in (({}, '/b'), ({'data_root': '/c'}, '/c')):
        assert load_config(path, options).train_dataloader.dataset.dataset.data_root == expected


def test_a_data_set_with_a_root_of_its_own_keeps_it():
    cfg = load_config(OURS, {'val_dataloader.dataset.data_root': '/mine', 'data_root': '/data/x'})
    assert cfg.val_dataloader.dataset.data_root == '/mine' and cfg.train_dataloader.dataset.data_root == '/data/x'


def test_the_number_of_classes_follows_from_the_data():
    cfg = load_config('resnet19_cifar100')
    assert cfg.model.head.num_classes == cfg.train_dataloader.dataset.num_classes == 100
    assert load_config('resnet19_cifar100', demo=True).model.head.num_classes == 10
    assert load_config(OURS, {'num_classes': 7}).model.decode_head.num_classes == 7
    with pytest.raises(ConfigError, match=r'model\.head\.num_classes = 7'):
        load_config('resnet19_cifar100', {'model.head.num_classes': 7})


def test_parts_beside_the_methods():
    assert load_config('resnet_small_digits', {'ema.momentum': 0.1}).ema.momentum == 0.1
    assert load_config('resnet_small_digits', {'sharding': True}).sharding is True


# what is left in a config


def test_a_config_has_the_parts_of_a_run_alone(config):
    cfg = load_config(config('width = 3\n_own = 4\nmodel = dict(backbone=dict(stem=width + _own))'))
    assert cfg.model.backbone.stem == 7 and not {'width', '_own'} & cfg.keys()


def test_a_run_can_be_started_from_its_copy_of_the_config(tmp_path):
    options = {'adaptation.policy.interval': 3, 'data_root': '/data/x'}
    cfg = load_config('resnet18_cifar100', options, methods=['a2sg', 'tet', 'sam'])
    cfg.dump(str(tmp_path / 'copy.py'))
    again = load_config(tmp_path / 'copy.py')
    assert json.loads(json.dumps(again.to_dict())) == json.loads(json.dumps(cfg.to_dict()))
    assert load_config(tmp_path / 'copy.py', {'data_root': '/y'}).val_dataloader.dataset.data_root == '/y'


def test_delete_keys_are_not_left(config):
    cfg = load_config(
        config('env_cfg = dict(mp_cfg=dict(_delete_=True, opencv_num_threads=1))\nauto_scale_lr = dict(_delete_=True)')
    )
    assert cfg.env_cfg.mp_cfg == dict(opencv_num_threads=1) and cfg.auto_scale_lr == {}


def test_classes_become_names(config):
    cfg = load_config(
        config(
            'from torch.optim import AdamW\nfrom a2sg_zoo.models.backbones import SpikingResNet\n'
            'optim_wrapper = dict(optimizer=dict(_delete_=True, type=AdamW, lr=0.1))\n'
            "model = dict(backbone=dict(type=SpikingResNet), head=dict(type='a2sg_zoo.models.classifiers.LinearHead'))"
        )
    )
    assert cfg.optim_wrapper.optimizer.type == 'AdamW' and cfg.model.backbone.type == 'SpikingResNet'
    assert cfg.model.head.type == 'LinearHead'


# mistakes


@pytest.mark.parametrize(
    'option, better',
    [
        ('lr', r'optim_wrapper\.optimizer\.lr'),
        ('optimizer.lr', r'optim_wrapper\.optimizer\.lr'),
        ('seed', r'randomness\.seed'),
        ('max_iters', r'train_cfg\.max_iters'),
        ('batch_size', r'train_dataloader\.batch_size'),
        ('crop_size', r'train_dataloader\.dataset\.pipeline\.3\.crop_size'),
        ('train_pipeline.2.scale', r'train_dataloader\.dataset\.pipeline\.2\.scale'),
        ('mean', r'model\.data_preprocessor\.mean'),
        ('trian_cfg.max_iters', r'train_cfg'),
        ('my_width', ''),
    ],
)
def test_an_override_that_nobody_reads_is_refused(option, better):
    with pytest.raises(ConfigError, match=rf'{option.split(".")[0]}.*{better}'):
        load_config(OURS, {option: 1})


def test_a_data_root_that_nobody_reads_is_refused():
    with pytest.raises(ConfigError, match='data_root'):
        load_config('resnet_small_digits', {'data_root': '/no/where'})


@pytest.mark.parametrize('text', ['lr = 0.5', 'max_iters = 3', 'crop_size = (8, 8)'])
def test_a_variable_that_nobody_reads_is_refused(config, text):
    with pytest.raises(ConfigError, match=rf'c\.py.*{text.split()[0]}'):
        load_config(config(text))


@pytest.mark.parametrize(
    'text, key',
    [
        ("custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed'))]", 'adaptation'),
        ("custom_hooks = [dict(type='MembraneLoss', loss=dict(type='IMLoss'), weight=1)]", 'membrane_loss'),
        ("default_hooks = dict(sharding=dict(type='ShardingHook'))", 'sharding'),
        ("method = dict(neuron=dict(type='PLIF'))", 'neuron'),
    ],
)
def test_the_old_layout_is_told_what_to_write(config, text, key):
    with pytest.raises(ConfigError, match=rf'c\.py.*{key} = '):
        load_config(config(text))


def test_an_option_of_the_old_layout():
    with pytest.raises(ConfigError, match=r'custom_hooks\.0\.policy\.interval.*adaptation\.policy'):
        load_config(OURS, {'custom_hooks.0.policy.interval': 1})


def test_there_need_be_no_hooks(tmp_path):
    options = {'default_hooks': None, 'custom_hooks': None, 'train_cfg.max_iters': 3}
    assert build_runner(prepare_config('resnet_small_digits', options, work_dir=tmp_path)).hooks


@pytest.mark.parametrize(
    'key, value',
    [
        ('train_dataloader.dataset.pipeline.77.type', 'X'),
        ('resume.x', 1),
        ('default_hooks.timer.type.x', 1),
        ('param_scheduler.x.end', 1),
    ],
)
def test_an_override_that_cannot_apply(key, value):
    with pytest.raises(ConfigError, match=key):
        load_config(OURS, {key: value})


def test_a_config_without_a_demo_says_so(tmp_path):
    (tmp_path / 'c.py').write_text('work_dir = "x"\n')
    with pytest.raises(ConfigError, match='c.py.*demo'):
        load_config(tmp_path / 'c.py', demo=True)


# modules of ones own


def modules(tmp_path, monkeypatch, text):
    (tmp_path / 'my_own_module.py').write_text(text)
    (tmp_path / 'c.py').write_text("custom_imports = dict(imports=['my_own_module'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__('sys').modules, 'my_own_module', raising=False)
    return tmp_path / 'c.py'


def test_modules_are_imported(tmp_path, monkeypatch):
    load_config(modules(tmp_path, monkeypatch, 'LOADED = True\n'))
    import my_own_module

    assert my_own_module.LOADED


@pytest.mark.parametrize(
    'text, message',
    [
        ('import no_such_module_x', 'no_such_module_x'),
        ('import os\ndef f(:', r'my_own_module\.py:2: SyntaxError'),
        ('x = 1\ny = 1 / 0', r'my_own_module\.py:2: ZeroDivisionError'),
        ('def f():\n    raise OSError("abc")\nf()', r'my_own_module\.py:2: OSError: abc'),
        (
            'from a2sg_zoo.registry import NEURONS\n@NEURONS.register_module()\nclass LIF:\n    pass',
            r'my_own_module\.py:2: .*LIF',
        ),
        ('raise KeyError("what")', r'my_own_module\.py:1: KeyError: what'),
        ('from a2sg_zoo.registry import NOTHING', r'my_own_module.*NOTHING'),
    ],
)
def test_a_module_that_fails_is_told_with_its_line(tmp_path, monkeypatch, text, message):
    with pytest.raises(ConfigError, match=rf'c\.py: custom_imports.*my_own_module.*{message}'):
        load_config(modules(tmp_path, monkeypatch, text))


@pytest.mark.parametrize(
    'value, message',
    [
        ('dict(imports=["no_such_module_x"])', 'no_such_module_x.*PYTHONPATH=.'),
        ('dict(imports="no_such_package_x.y")', 'no_such_package_x.*PYTHONPATH=.'),
        ('dict(imports="a2sg_zoo.no_such_part")', r'a2sg_zoo\.no_such_part'),
        ('dict(imports=[5])', '5'),
        ('dict(imports=[""])', ''),
        ('dict(imports=[".x"])', r'\.x'),
        ('dict(import_="a")', 'import_'),
        ('["a"]', ''),
    ],
)
def test_modules_that_are_none(tmp_path, value, message):
    (tmp_path / 'c.py').write_text(f'custom_imports = {value}')
    with pytest.raises(ConfigError, match=rf'c\.py: custom_imports.*{message}'):
        load_config(tmp_path / 'c.py')


def test_imports_that_may_fail(tmp_path):
    (tmp_path / 'c.py').write_text('custom_imports = dict(imports=["no_such_module_x"], allow_failed_imports=True)')
    assert load_config(tmp_path / 'c.py')


def test_credentials_in_an_address_are_refused():
    """MMEngine would print them, and the config is stored in every checkpoint."""
    for address in ('http://me:hunter2@host/x.pth', 'https://me@host/x.pth', 'http://me:hunt/er2@host/x.pth'):
        for key in ('load_from', 'model.backbone.init_cfg'):
            value = address if key == 'load_from' else dict(type='Pretrained', checkpoint=address)
            with pytest.raises(ConfigError, match=f'{key}.*netrc') as error:
                load_config('resnet18_cifar10', {key: value})
            assert 'hunter2' not in str(error.value) and 'er2' not in str(error.value)
    load_config('resnet18_cifar10', {'load_from': 'https://host/@me/x.pth?v=1@2'})
