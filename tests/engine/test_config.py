"""Mistakes in configs are found before anything is built, and nothing else is."""

from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from a2sg_zoo.engine.config import load_config, validate_config
from a2sg_zoo.engine.signatures import keys_of
from a2sg_zoo.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / 'configs'
OURS = CONFIGS / 'spikformer_ade20k_a2sg.py'
THEIRS = Path(mmseg.__file__).parent / '.mim' / 'configs'


def problems(options):
    with pytest.raises(ConfigError) as error:
        validate_config(load_config(OURS, options))
    return str(error.value)


# no false alarms


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem)
@pytest.mark.parametrize('demo', [False, True])
def test_our_configs_pass(path, demo):
    validate_config(load_config(path, demo=demo))


@pytest.mark.skipif(not THEIRS.is_dir(), reason='this MMSegmentation comes without configs')
@pytest.mark.parametrize(
    'family',
    [
        'fcn',
        'sem_fpn',
        'segformer',
        'upernet',
        'deeplabv3',
        'deeplabv3plus',
        'ocrnet',
        'pidnet',
        'point_rend',
        'knet',
        'unet',
        'vpd',
        'beit',
        'bisenetv1',
    ],
)
def test_configs_of_mmsegmentation_pass(family):
    paths = sorted((THEIRS / family).glob('*.py'))
    for path in paths[:: max(1, len(paths) // 4)]:
        validate_config(load_config(path))


# mistakes


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('model.backbone.type', 'Spikfrmer', "model.backbone.type: 'Spikfrmer' is not a registered model; did you"),
        ('model.backbone.neuron.tauu', 3.0, 'model.backbone.neuron.tauu: LIF takes no such key; did you mean tau?'),
        ('model.backbone.neuron.surrogate', dict(type='TRI', betaa=1), 'surrogate.betaa: '),
        ('model.backbone.neuron.type', 'MODELS', "model.backbone.neuron.type: 'MODELS' is not a registered neuron"),
        (
            'model.decode_head.loss_decode.loss_wight',
            1,
            'CrossEntropyLoss takes no such key; did you mean loss_weight?',
        ),
        ('model.decode_head.norm_cfg.epps', 1, 'model.decode_head.norm_cfg.epps: '),
        (
            'model.decode_head.init_cfg',
            dict(type='Pretraind', checkpoint='x'),
            "'Pretraind' is not a registered weight",
        ),
        (
            'custom_hooks.0.policy.type',
            'A2SGG',
            "custom_hooks[0].policy.type: 'A2SGG' is not a registered policy; did you",
        ),
        ('default_hooks.guard.limit', 1, 'default_hooks.guard.limit: NonFiniteGuard takes no such key'),
        ('optim_wrapper.clip_gradd', 1, 'optim_wrapper.clip_gradd: OptimWrapper takes no such key; did you mean clip'),
        ('optim_wrapper.optimizer.lrr', 1, 'optim_wrapper.optimizer.lrr: AdamW takes no such key; did you mean lr?'),
        ('param_scheduler.0.strt', 1, 'param_scheduler[0].strt: LinearLR takes no such key'),
        ('train_cfg.max_iter', 1, 'train_cfg.max_iter: IterBasedTrainLoop takes no such key; did you mean max_iters?'),
        ('train_dataloader.batch_sise', 1, 'train_dataloader.batch_sise: a dataloader takes no such key; did you mean'),
        ('train_dataloader.sampler.shufle', 1, 'ResumableSampler takes no such key; did you mean shuffle?'),
        (
            'train_dataloader.dataset.pipeline.0.x',
            1,
            'train_dataloader.dataset.pipeline[0].x: LoadImage takes no such key',
        ),
        ('val_evaluator.iou_metric', 1, 'SegmentationMetric takes no such key; did you mean iou_metrics?'),
        ('visualizer.vis_backends.0.type', 'LocalBackend', "'LocalBackend' is not a registered vis"),
        ('train_dataloder.batch_size', 1, 'train_dataloder: a run has no such part; did you mean train_dataloader?'),
    ],
)
def test_a_mistake_is_named_with_its_place(key, value, message):
    assert message in problems({key: value})


def test_a_misspelt_part_of_the_run():
    cfg = load_config(OURS)
    cfg.train_dataloder = cfg.pop('train_dataloader')
    cfg.my_own_variable = 3
    with pytest.raises(ConfigError, match='train_dataloder: a run has no such part; did you mean train_dataloader?'):
        validate_config(cfg)


def test_a_missing_argument():
    cfg = Config(
        dict(
            model=dict(
                type='EncoderDecoder',
                decode_head=dict(type='FPNHead', in_channels=[1], channels=1, in_index=[0], num_classes=2),
            )
        )
    )
    with pytest.raises(ConfigError) as error:
        validate_config(cfg)
    assert 'model: EncoderDecoder needs the key backbone' in str(error.value)
    assert 'model.decode_head: FPNHead needs the key feature_strides' in str(error.value)


def test_all_mistakes_are_listed_at_once():
    message = problems({'model.backbone.tt': 1, 'optim_wrapper.optimizer.lrr': 1, 'train_cfg.max_iter': 1})
    assert '3 mistakes' in message and str(OURS) in message


@pytest.mark.parametrize('compiled', [True, dict(mode='default')], ids=['true', 'options'])
def test_blocks_that_run_again_are_not_compiled(compiled):
    both = {'compile': compiled, 'model.backbone.recompute': True}
    assert 'compile: a backbone whose blocks run again (model.backbone.recompute) cannot be' in problems(both)
    for key in both:
        validate_config(load_config(OURS, {**both, key: False}))


# signatures


class Base:
    def __init__(self, a, b=1):
        pass


class Forwards(Base):
    def __init__(self, c, **kwargs):
        super().__init__(a=c, **kwargs)


class LooksUp(Forwards):
    def __init__(self, **kwargs):
        if 'e' in kwargs:
            kwargs.pop('d', None)
        super().__init__(**kwargs)


class SkipsOne(Forwards):
    def __init__(self, **kwargs):
        super(Forwards, self).__init__(**kwargs)


class Keeps(Base):
    def __init__(self, **kwargs):
        self.kwargs = kwargs


class Ignores(Base):
    def __init__(self, x=1, **kwargs):
        super().__init__(x)


class Positional(Base):
    def __init__(self, *args, **kwargs):
        super().__init__(1, *args, **kwargs)


class Nothing:
    pass


@pytest.mark.parametrize(
    'target, accepted, required',
    [
        (Base, 'ab', 'a'),
        (Forwards, 'abc', 'c'),
        (LooksUp, 'abcde', 'c'),
        (SkipsOne, None, ''),
        (Keeps, None, ''),
        (Ignores, 'x', ''),
        (Positional, 'ab', ''),
        (Nothing, '', ''),
        (dict, None, ''),
    ],
)
def test_keys_are_followed_through_constructors(target, accepted, required):
    assert keys_of(target) == (None if accepted is None else frozenset(accepted), frozenset(required))


# loading


@pytest.mark.parametrize(
    'text, message',
    [
        ('a = 1\nb = (\n', r'c\.py:2: SyntaxError'),
        ('a = 1\nb = a.c.d\n', r'c\.py:2: AttributeError'),
        ("_base_ = ['./none.py']\n", 'none.py'),
        ("custom_imports = dict(imports=['no_such_module_x'])", 'no_such_module_x'),
    ],
)
def test_a_faulty_file_is_named(tmp_path, text, message):
    (tmp_path / 'c.py').write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / 'c.py')


@pytest.mark.parametrize('fault', ['y = = 2', 'y = x.z.w'])
def test_a_fault_in_an_inherited_file_is_named(tmp_path, fault):
    (tmp_path / 'base.py').write_text(f'x = 1\n{fault}\n')
    (tmp_path / 'c.py').write_text("_base_ = ['./base.py']\n")
    with pytest.raises(ConfigError, match=r'base\.py:2'):
        load_config(tmp_path / 'c.py')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match='nowhere.py does not exist'):
        load_config(tmp_path / 'nowhere.py')


def test_modules_are_imported(tmp_path, monkeypatch):
    (tmp_path / 'my_surrogate_module.py').write_text('LOADED = True\n')
    (tmp_path / 'c.py').write_text("custom_imports = dict(imports=['my_surrogate_module'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_config(tmp_path / 'c.py')
    import my_surrogate_module

    assert my_surrogate_module.LOADED


@pytest.mark.parametrize('demo', [False, True])
def test_the_data_root_reaches_every_data_set(demo):
    cfg = load_config(OURS, {'data_root': '/data/x'}, demo=demo)
    assert [cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'val', 'test')] == ['/data/x'] * 3


def test_a_data_set_with_a_root_of_its_own_keeps_it():
    cfg = load_config(OURS, {'val_dataloader.dataset.data_root': '/mine', 'data_root': '/data/x'})
    assert cfg.val_dataloader.dataset.data_root == '/mine' and cfg.train_dataloader.dataset.data_root == '/data/x'


def test_a_config_without_a_demo_says_so(tmp_path):
    (tmp_path / 'c.py').write_text('x = 1\n')
    with pytest.raises(ConfigError, match='describes no demo'):
        load_config(tmp_path / 'c.py', demo=True)


def test_an_override_that_cannot_apply(tmp_path):
    with pytest.raises(ConfigError, match='custom_hooks.7.type'):
        load_config(OURS, {'custom_hooks.7.type': 'X'})


# what a method changes besides its policy


def test_method_overlay(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(f"""_base_ = ['{CONFIGS}/resnet19_cifar10_tri.py']
method = dict(neuron=dict(type='PLIF'), optim_wrapper=dict(clip_grad=dict(max_norm=1.0)))""")
    cfg = load_config(path, {'model.head.neuron.tau': 3.0})
    validate_config(cfg)
    assert cfg.model.backbone.neuron == dict(type='PLIF', tau=2.0, decay_input=False)
    assert cfg.model.head.neuron == dict(type='PLIF', tau=3.0, decay_input=False)
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0 and cfg.optim_wrapper.optimizer.type == 'SGD'
    assert 'method' not in cfg
