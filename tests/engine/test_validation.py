"""Mistakes in the names and keys of a config are found before anything is built, and nothing else is."""

from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.config_names import shipped_configs
from a2sg_zoo.engine.plain_keys import check_prediction
from a2sg_zoo.engine.validation import validate_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import DATASETS

OURS = Path(__file__).parents[2] / 'configs' / 'spikformer_ade20k_a2sg.py'
THEIRS = Path(mmseg.__file__).parent / '.mim' / 'configs'


def problems(options):
    with pytest.raises(ConfigError) as error:
        load_config(OURS, options)
    return str(error.value)


# no false alarms


@pytest.mark.parametrize('name', shipped_configs())
@pytest.mark.parametrize('demo', [False, True])
def test_our_configs_pass(name, demo):
    load_config(name, demo=demo)


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
        'beit',
        'bisenetv1',
    ],
)
def test_configs_of_mmsegmentation_pass(family):
    paths = sorted((THEIRS / family).glob('*.py'))
    for path in paths[:: max(1, len(paths) // 4)]:
        load_config(path)


@pytest.mark.skipif(not (THEIRS / 'vpd').is_dir(), reason='this MMSegmentation comes without configs')
def test_configs_of_mmsegmentation_that_freeze_by_a_rate_of_0_are_told_how_to_freeze():
    for path in sorted((THEIRS / 'vpd').glob('*.py')):
        with pytest.raises(ConfigError, match=r"frozen = \['backbone.encoder_vq'\]") as refused:
            load_config(path)
        assert str(refused.value).count(' = ') == 2  # the rate, and what to set; no other mistake


# mistakes


@pytest.mark.parametrize(
    'key, value, hint',
    [
        ('model.backbone.type', 'Spikfrmer', 'Spikformer'),
        ('model.backbone.neuron.tauu', 3.0, 'tau'),
        ('model.backbone.neuron.surrogate', dict(type='TRI', betaa=1), 'surrogate.betaa'),
        ('model.backbone.neuron.type', 'MODELS', 'neuron'),
        ('model.decode_head.loss_decode.loss_wight', 1, 'loss_weight'),
        ('model.decode_head.norm_cfg.epps', 1, ''),
        ('model.decode_head.init_cfg', dict(type='Pretraind', checkpoint='x'), 'Pretraind'),
        ('adaptation.policy.type', 'A2SGG', 'A2SG'),
        ('adaptation.policy', dict(_delete_=True, interval=1), '--method'),
        ('adaptation', dict(_delete_=True, charts='layers'), '--method'),
        ('adaptation.polcy', dict(), 'policy'),
        ('adaptation.log_intervall', 1, 'log_interval'),
        ('membrane_loss', dict(type='IMLoss', weight=1, grwth='linear'), 'membrane_loss.grwth'),
        ('membrane_loss', dict(type='IMLos', weight=1), 'IMLoss'),
        ('membrane_loss', dict(type='IMLoss'), 'weight'),
        ('membrane_loss', dict(weight=1), 'type'),
        ('optim_method', dict(type='SAMOptimWraper'), 'SAMOptimWrapper'),
        ('optim_method', dict(type='SAMOptimWrapper', roh=1), 'rho'),
        ('sharding', dict(unit=[]), 'units'),
        ('ema', dict(momentm=0.1), 'momentum'),
        ('neuron.tauu', 1, 'model.backbone.neuron.tauu'),
        ('randomness.sed', 1, 'seed'),
        ('env_cfg.cudnn_benchmrk', True, 'cudnn_benchmark'),
        ('env_cfg.mp_cfg.mp_start_metod', 'spawn', 'mp_start_method'),
        ('env_cfg.dist_cfg.backnd', 'gloo', 'backend'),
        ('auto_scale_lr', dict(enabled=True), 'enable'),
        ('log_processor.windw_size', 3, 'window_size'),
        ('default_hooks.chekpoint.interval', 3, 'default_hooks.checkpoint'),
        ('default_hooks.guard.limit', 1, 'NonFiniteGuard'),
        ('optim_wrapper.clip_gradd', 1, 'clip_grad'),
        ('optim_wrapper.clip_grad', dict(max_nrom=1.0), 'max_norm'),
        ('optim_wrapper.clip_grad', dict(type='value', max_norm=1.0), 'clip_value'),
        ('optim_wrapper.paramwise_cfg', dict(norm_decay_mul=0.0), 'norm_decay_mult'),
        ('optim_wrapper.paramwise_cfg', dict(custom_keys=dict(head=dict(lr_mul=0.1))), 'lr_mult'),
        ('optim_wrapper.optimizer.lrr', 1, 'lr'),
        ('param_scheduler.0.strt', 1, 'LinearLR'),
        ('train_cfg.max_iter', 1, 'max_iters'),
        ('train_cfg', dict(_delete_=True, by_epoch=False, max_iters=5, val_intervall=2), 'val_interval?'),
        ('train_cfg', dict(_delete_=True, by_epoch=True, max_iters=5), 'max_epochs'),
        ('train_cfg', dict(_delete_=True, max_epochs=5), 'by_epoch'),
        ('val_cfg', dict(_delete_=True, fp61=True), 'fp16'),
        ('model.test_cfg', dict(mdoe='slide'), 'mode'),
        ('model.test_cfg', dict(flip=True), 'stride'),
        ('train_dataloader.batch_sise', 1, 'batch_size'),
        ('train_dataloader.sampler.shufle', 1, 'shuffle'),
        ('train_dataloader.dataset.pipeline.0.x', 1, 'LoadImage'),
        ('val_evaluator.iou_metric', 1, 'iou_metrics'),
        ('visualizer.vis_backends.0.type', 'LocalBackend', 'LocalBackend'),
        ('train_dataloder.batch_size', 1, 'train_dataloader'),
    ],
)
def test_a_mistake_is_named_with_its_place(key, value, hint):
    message = problems({key: value})
    assert (key in message or key.partition('.')[0] in message) and hint in message and str(OURS) in message


def test_a_hook_that_is_not_there_cannot_be_left_out():
    with pytest.raises(ConfigError, match=r'default_hooks\.step_sed.*step_seed'):
        load_config(OURS, {'default_hooks.step_sed': None})
    for name in ('step_seed', 'checkpoint', 'progress'):
        assert load_config(OURS, {f'default_hooks.{name}': None}).default_hooks[name] is None


def test_what_steps_and_predictions_read_passes():
    options = dict(norm_decay_mult=0.0, flat_decay_mult=0.0, bypass_duplicate=True)
    options['custom_keys'] = dict(backbone=dict(lr_mult=0.1, decay_mult=0.0, betas=(0.9, 0.99)))
    clip = dict(type='value', clip_value=1.0)
    windows = dict(mode='slide', crop_size=(8, 8), stride=(8, 8))
    window, steps = (
        {'model.test_cfg': windows},
        {'optim_wrapper.clip_grad': clip, 'optim_wrapper.paramwise_cfg': options},
    )
    assert load_config(OURS, {**window, **steps})
    found = []
    check_prediction(
        dict(type='EncoderDecoder', decode_head=dict(type='PointHead'), test_cfg=dict(subdivision_steps=2)), found
    )
    assert not found


def test_a_misspelt_part_of_the_run():
    cfg = load_config(OURS)
    cfg.train_dataloder = cfg.pop('train_dataloader')
    with pytest.raises(ConfigError, match='train_dataloder.*train_dataloader'):
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
    with pytest.raises(ConfigError, match=r'(?s)model: .*backbone.*model\.decode_head: .*feature_strides'):
        validate_config(cfg)


def test_all_mistakes_are_listed_at_once():
    message = problems({'model.backbone.tt': 1, 'optim_wrapper.optimizer.lrr': 1, 'train_cfg.max_iter': 1})
    for key in ('3', str(OURS), 'model.backbone.tt', 'optim_wrapper.optimizer.lrr', 'train_cfg.max_iter'):
        assert key in message


@pytest.mark.parametrize('option, on, off', [('recompute', True, False), ('time_chunk', 2, None)])
@pytest.mark.parametrize('compiled', [True, dict(mode='default')], ids=['true', 'options'])
def test_activation_checkpointing_is_not_compiled(compiled, option, on, off):
    both = {'compile': compiled, f'model.backbone.{option}': on}
    message = problems(both)
    assert 'compile' in message and f'model.backbone.{option}' in message
    for key in both:
        load_config(OURS, {**both, key: False if key == 'compile' else off})


def test_the_length_of_a_data_set_is_that_of_a_text_for_language_models_alone():
    options = {'train_dataloader.dataset.length': 64}
    with pytest.raises(ConfigError, match='train_dataloader.dataset.length'):
        load_config('spikegpt_small_text', options)
    # a data set of the user's, which has 64 samples
    cfg = load_config('resnet_small_digits')
    cfg.train_dataloader.dataset = dict(type='Stripes', length=64)

    @DATASETS.register_module()
    class Stripes:
        def __init__(self, length):
            self.length = length

    try:
        validate_config(cfg)
    finally:
        DATASETS.module_dict.pop('Stripes')
