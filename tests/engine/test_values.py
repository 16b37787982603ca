"""Values that a class refuses, or that would take all memory or time, are told with their key before data is read."""

import math
from pathlib import Path

import pytest

from a2sg_zoo.engine import run
from a2sg_zoo.engine.build import build_runner, read_loader
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.misfits import misfits
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.errors import ConfigError

CONFIG = 'resnet_small_digits'
NAN = math.nan


@pytest.mark.parametrize(
    'key, value',
    [
        # of PyTorch's parts
        ('optim_wrapper.optimizer.lr', -0.1),
        ('optim_wrapper.optimizer.lr', 'fast'),
        ('optim_wrapper.optimizer.lr', NAN),
        ('optim_wrapper.optimizer.lr', math.inf),
        ('optim_wrapper.optimizer.momentum', -1),
        ('optim_wrapper.optimizer.weight_decay', 'x'),
        ('train_dataloader.batch_size', 0),
        ('train_dataloader.batch_size', 'many'),
        ('train_dataloader.batch_size', 32.0),
        ('train_dataloader.batch_size', True),
        ('train_dataloader.batch_size', 10**8),
        ('val_dataloader.batch_size', -3),
        ('train_dataloader.num_workers', -1),
        ('train_dataloader.num_workers', 10**6),
        ('train_dataloader.drop_last', 7),
        ('train_dataloader.timeout', -1),
        # of MMEngine's
        ('train_cfg.max_iters', 2.5),
        ('train_cfg.max_iters', 0),
        ('train_cfg.val_interval', 0),
        ('train_cfg.val_interval', '5'),
        ('param_scheduler.0.end', -5),
        ('param_scheduler.0.start_factor', 7),
        ('param_scheduler.1.eta_min', 'x'),
        ('optim_wrapper.accumulative_counts', 0),
        ('optim_wrapper.clip_grad', dict(max_norm=-1)),
        ('optim_wrapper.paramwise_cfg', dict(custom_keys=dict(head=dict(lr_mult=-1)))),
        ('default_hooks.logger.interval', 0),
        ('default_hooks.checkpoint.interval', 0),
        ('default_hooks.checkpoint.max_keep_ckpts', 'x'),
        ('default_hooks.checkpoint.save_best', 'acc'),
        ('default_hooks.checkpoint.save_best', ['top1', 'topp5']),
        ('randomness.seed', -1),
        ('randomness.seed', 2**32),
        ('randomness.seed', 1.5),
        ('log_level', 'LOUD'),
        ('default_scope', 'no_such_package'),
        ('ema', dict(momentum=7)),
        ('ema', dict(interval=0)),
        ('ema', dict(begin_iter=-1)),
        ('ema', dict(begin_iter=10**6)),
        ('train_cfg.dynamic_intervals', [5]),
        ('train_cfg.dynamic_intervals', [(9, 0)]),
        ('train_cfg.dynamic_intervals', [(9, 1), (5, 1)]),
        ('train_dataloader.batch_size', None),
        ('custom_hooks', [dict(type='StopMixing', at=None)]),
        ('custom_hooks', [dict(type='WhitenStem', images=0)]),
        ('custom_hooks', [dict(type='WhitenStem', eps=-1)]),
        # of this project's
        ('train_dataloader.dataset.size', 0),
        ('train_dataloader.dataset.size', 10**6),
        ('train_dataloader.dataset.pipeline.0.padding', -1),
        ('model.backbone.depths', [-1, 1, 1]),
        ('model.backbone.depths', [1, 1, 10**8]),
        ('model.backbone.widths', [16, 0, 64]),
        ('model.backbone.T', 10**9),
        ('model.backbone.T', -1),
        ('model.backbone.T', 2.0),
        ('model.head.loss.label_smoothing', 2),
        ('adaptation', dict(policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=-1)))),
        ('adaptation', dict(policy=dict(type='Fixed', surrogate=dict(type='TRI')), log_interval=0)),
        ('membrane_loss', dict(type='IMLoss', weight=-1)),
        ('membrane_loss', dict(type='IMLoss', weight=1, growth='x')),
        ('frozen', ['(']),
        ('num_classes', 0),
    ],
)
def test_values_are_refused_with_their_key(key, value):
    first, *rest = key.split('.')
    with pytest.raises(ConfigError, match='.*'.join([first, *rest[-1:]])):
        load_config(CONFIG, {key: value})


@pytest.mark.parametrize(
    'key',
    [
        *(
            'model',
            'optim_wrapper',
            'train_cfg',
            'train_dataloader',
            'default_hooks',
            'param_scheduler',
            'val_evaluator',
        ),
        *('adaptation', 'membrane_loss', 'loss', 'optim_method', 'neuron', 'sharding', 'ema', 'custom_hooks', 'frozen'),
        *('work_dir', 'load_from', 'resume', 'visualizer', 'randomness', 'env_cfg', 'default_scope', 'data_root'),
        *('optim_wrapper.optimizer', 'default_hooks.logger', 'model.backbone', 'train_dataloader.dataset'),
        *('param_scheduler.0', 'train_dataloader.dataset.pipeline.0', 'model.head', 'train_dataloader.sampler'),
    ],
)
def test_a_number_in_place_of_a_part_is_refused(key):
    with pytest.raises(ConfigError, match=key):
        load_config(CONFIG, {key: 3})


def test_what_is_in_order_passes():
    options = {
        'train_dataloader.persistent_workers': True,  # without workers
        'train_dataloader.prefetch_factor': 2,
        'optim_wrapper.clip_grad': dict(max_norm=1.0),
        'optim_wrapper.paramwise_cfg': dict(custom_keys=dict(head=dict(lr_mult=0.1, decay_mult=0))),
        'default_hooks.checkpoint.save_best': ['top5', 'top1_t1'],
        'default_hooks.checkpoint.interval': -1,
        'optim_wrapper.accumulative_counts': 4,
        'train_dataloader.dataset.per_class': (0, None),
        'randomness.seed': None,
        'ema': dict(momentum=0.1, begin_iter=10),
        'train_cfg.dynamic_intervals': [(0, 9), (50, 5)],
        'val_dataloader.batch_size': 7,
    }
    cfg = load_config(CONFIG, options)
    assert 'persistent_workers' not in cfg.train_dataloader and 'prefetch_factor' not in cfg.train_dataloader


def test_freezing_by_a_rate_is_told_what_freezes():
    keys = dict(backbone=dict(lr_mult=0))
    with pytest.raises(ConfigError, match=r"custom_keys\.backbone\.lr_mult.*frozen = \['backbone'\]"):
        load_config(CONFIG, {'optim_wrapper.paramwise_cfg': dict(custom_keys=keys)})


def test_the_number_of_class_weights():
    key = 'model.decode_head.loss_decode.class_weight'
    with pytest.raises(ConfigError, match=rf'{key}.*3.*150'):
        load_config('spikformer_ade20k', {key: [1.0, 2.0, 3.0]})
    assert load_config('spikformer_ade20k', {key: [1.0] * 150})


def test_scores_of_a_segmentation():
    with pytest.raises(ConfigError, match=r"save_best.*'mIOU'.*mIoU"):
        load_config('spikformer_ade20k', {'default_hooks.checkpoint.save_best': 'mIOU'})
    with pytest.raises(ConfigError, match=r'val_evaluator\.iou_metrics.*mIou'):
        load_config('spikformer_ade20k', {'val_evaluator.iou_metrics': ['mIoU', 'mIou']})


# epochs

BY_EPOCH = {
    'train_cfg': dict(_delete_=True, by_epoch=True, max_epochs=2, val_interval=1),
    'param_scheduler': [dict(type='CosineAnnealingLR', by_epoch=True)],
}


@pytest.mark.parametrize('loop', [dict(by_epoch=True), dict(type='EpochBasedTrainLoop')])
def test_an_epoch_that_never_ends_is_told_what_to_write(loop):
    with pytest.raises(ConfigError, match=r'train_dataloader\.sampler\.type.*ResumableEpochSampler'):
        load_config(CONFIG, {**BY_EPOCH, 'train_cfg': dict(_delete_=True, **loop, max_epochs=2)})


def test_epochs_end(tmp_path):
    options = {
        **BY_EPOCH,
        'train_dataloader.sampler.type': 'ResumableEpochSampler',
        'train_dataloader.dataset.per_class': (0, 6),
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.by_epoch': True,
        'log_level': 'ERROR',
    }
    runner = train(prepare_config(CONFIG, options, work_dir=tmp_path))
    assert runner.epoch == 2 and runner.iter == 2 * len(runner.train_dataloader) == 4
    assert runner.param_schedulers[0].end == 2


# parts that count what their loop does not


@pytest.mark.parametrize(
    'schedule, key',
    [
        ([dict(type='MultiStepLR', milestones=[1, 2])], 'param_scheduler.0.by_epoch'),
        (dict(type='CosineAnnealingLR', T_max=4, by_epoch=True), 'param_scheduler.by_epoch'),
        ([dict(type='MultiStepLR', milestones=[1], convert_to_iter_based=True)], 'param_scheduler.0.by_epoch'),
        (dict(type='MultiStepLR', milestones=[1, 2], by_epoch=False), None),
        ([dict(type='MultiStepLR', milestones=[1], end=2, convert_to_iter_based=True)], None),
        (dict(type='ReduceOnPlateauLR', monitor='top1'), None),
    ],
)
def test_a_schedule_by_epochs_is_refused_on_a_loop_over_iterations(schedule, key):
    cfg = load_config(CONFIG)
    cfg.param_scheduler = schedule
    assert [*misfits(cfg)] == [] if key is None else key in next(misfits(cfg))
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    cfg.train_dataloader.sampler.type = 'ResumableEpochSampler'
    assert [*misfits(cfg)] == []


def test_checkpoints_by_epochs_are_refused_on_a_loop_over_iterations():
    key = 'default_hooks.checkpoint'
    with pytest.raises(ConfigError, match=f'{key}.by_epoch'):
        load_config(CONFIG, {key: dict(_delete_=True, type='AtomicCheckpointHook', interval=5)})
    assert load_config(CONFIG, {f'{key}.by_epoch': True, f'{key}.interval': -1})


@pytest.mark.parametrize('key', ['val_dataloader', 'val_cfg', 'val_evaluator', 'test_evaluator', 'optim_wrapper'])
def test_a_part_without_those_that_go_with_it_is_named(key):
    with pytest.raises(ConfigError, match=f'{key}: not set'):
        build_runner(prepare_config(CONFIG, {key: None}))


@pytest.mark.parametrize('part, start', [('train', run.train), ('test', lambda cfg: run.test(cfg, 'best'))])
def test_a_run_without_the_parts_that_it_needs_is_refused(part, start):
    parts = {f'{part}_dataloader', f'{part}_cfg', 'optim_wrapper' if part == 'train' else 'test_evaluator'}
    with pytest.raises(ConfigError, match=f'{part}_dataloader and .*not set'):
        start(prepare_config(CONFIG, dict.fromkeys(parts)))


def test_mixed_precision_of_no_optimizer_is_refused():
    with pytest.raises(ConfigError, match='optim_wrapper: not set'):
        train(prepare_config(CONFIG, {'optim_wrapper': None}), amp=True)


def test_what_is_wrong_with_a_loop_is_not_said_of_the_data():
    class Runner:
        cfg = dict(train_dataloader=dict(dataset=dict(type='Digits')))

        @property
        def train_dataloader(self):
            raise AssertionError('of the loop')

    with pytest.raises(ConfigError, match='train_dataloader or train_cfg cannot be set up: AssertionError: of the'):
        read_loader(Runner(), 'train_dataloader')


def test_averaged_weights_are_not_sharded():
    for key, value in (('ema', True), ('custom_hooks', [dict(type='EMAHook')])):
        with pytest.raises(ConfigError, match=f'{key}.*sharding'):
            load_config(CONFIG, {key: value, 'sharding': True})
        assert load_config(CONFIG, {key: value, 'sharding': False})


def test_scores_of_a_hook_can_be_the_best():
    options = {'default_hooks.checkpoint.save_best': ['val_loss', 'train_top1']}
    with pytest.raises(ConfigError, match='val_loss'):
        load_config(CONFIG, options)
    assert load_config(CONFIG, {**options, 'custom_hooks': [dict(type='TrainingScores')]})


# what is known when the parts are built


@pytest.mark.parametrize(
    'config, key, value',
    [
        ('spikformer_ade20k', 'model.backbone.num_heads', 7),
        ('spikformer_ade20k', 'model.neck.out_channels', -1),
        ('spikformer_ade20k', 'model.decode_head.dropout_ratio', 'x'),
        ('spikformer_ade20k', 'model.decode_head.in_index', [0, 1, 2, 9]),
        ('spikformer_ade20k', 'model.backbone.neuron.tau', 0.1),
        (CONFIG, 'frozen', ['backbon']),
        (CONFIG, 'frozen', ['.*']),
    ],
)
def test_a_network_that_cannot_be_built_names_the_key(config, key, value, tmp_path):
    with pytest.raises(ConfigError, match=key.split('.')[-1]):
        build_runner(prepare_config(config, {key: value, 'log_level': 'ERROR'}, demo=True, work_dir=tmp_path))


@pytest.mark.parametrize(
    'options, named',
    [
        ({'train_dataloader.batch_size': 2000, 'train_dataloader.drop_last': True}, 'train_dataloader.drop_last.*1437'),
        ({'train_dataloader.dataset.per_class': (5000, None)}, 'per_class'),
        ({'train_dataloader.dataset.per_class': 'x'}, 'per_class'),
    ],
)
def test_data_that_cannot_be_batched(options, named, tmp_path):
    with pytest.raises(ConfigError, match=named):
        train(prepare_config(CONFIG, {**options, 'log_level': 'ERROR'}, work_dir=tmp_path))


def test_the_seed_of_the_command_line_is_checked(tmp_path):
    with pytest.raises(ConfigError, match='seed'):
        prepare_config(CONFIG, seed=-1)
    assert prepare_config(CONFIG, seed=5).randomness.seed == 5


def test_a_class_of_ones_own_is_not_built_twice(tmp_path, monkeypatch):
    (tmp_path / 'counted_hooks.py').write_text(
        'from mmengine.hooks import Hook\nfrom a2sg_zoo.registry import HOOKS\nMADE = []\n'
        '@HOOKS.register_module()\nclass Counted(Hook):\n    def __init__(self):\n        MADE.append(self)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    options = {'custom_imports.imports': 'counted_hooks', 'custom_hooks': [dict(type='Counted')]}
    build_runner(prepare_config(CONFIG, {**options, 'log_level': 'ERROR'}, work_dir=tmp_path / 'run'))
    import counted_hooks

    assert len(counted_hooks.MADE) == 1 and Path(counted_hooks.__file__).parent == tmp_path


def test_a_stage_may_have_no_block():
    """`SpikingResNet9` has a transition in each stage."""
    assert load_config('resnet9_cifar10', {'model.backbone.depths': [1, 0, 1]}).model.backbone.depths == [1, 0, 1]


# features with a time axis


@pytest.mark.parametrize(
    'time, neck, heads, refused',
    [
        ('keep', 'FPN', {}, ['model.neck']),
        ('keep', 'SpikingFPN', {}, ['model.decode_head']),
        ('keep', None, {'auxiliary_head': [dict(type='FCNHead')]}, ['model.decode_head', 'model.auxiliary_head.0']),
        ('keep', 'SpikingFPN', {'decode_head.type': 'SpikingFPNHead'}, []),
        ('mean', 'FPN', {}, []),
        ('mean', None, {}, []),
    ],
)
def test_every_time_step_for_a_head_without_time_is_refused(time, neck, heads, refused):
    pytest.importorskip('mmseg')
    cfg = load_config('spikformer_ade20k_a2sg.py')
    cfg.model.backbone.time, cfg.model.neck = time, neck and dict(type=neck)
    cfg.merge_from_dict({f'model.{key}': value for key, value in heads.items()})
    found = [*misfits(cfg)]
    assert [message.partition(':')[0] for message in found] == refused
