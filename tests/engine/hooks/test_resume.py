"""What a run is loaded from, and where its data continue."""

from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2sg_zoo.engine import samplers
from a2sg_zoo.engine.samplers import ResumableSampler
from a2sg_zoo.engine.schedules import progress
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from tests.engine import toy


class Seen(toy.Hook):
    """Notes the samples of each step."""

    def __init__(self):
        self.samples = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.samples += [round(10 * float(target)) for target in data_batch['targets']]


def warnings_of(runner):
    said = []
    runner.logger.warning = lambda text, **kwargs: said.append(text)
    return said


# the stream of samples


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 6)), min_size=1, max_size=5))
def test_no_sample_is_seen_twice_or_left_out(legs):
    """Over any chain of runs, each with its own batch size, number of processes and steps."""
    seen, iteration, total = [], 0, 0
    for batch_size, world_size, steps in legs:
        shares = []
        for rank in range(world_size):
            sampler = ResumableSampler(range(7), seed=3)
            sampler.rank, sampler.world_size = rank, world_size
            sampler.origin = total - iteration * batch_size * world_size  # as the hook sets it
            sampler.skip(iteration * batch_size)  # as MMEngine's loop does
            share = list(islice(iter(sampler), steps * batch_size))
            if steps:
                assert share[:batch_size] == sampler.batch(iteration, batch_size)
            shares.append(share)
        seen += [shares[i % world_size][i // world_size] for i in range(steps * batch_size * world_size)]
        iteration, total = iteration + steps, total + steps * batch_size * world_size
    whole = list(islice(iter(ResumableSampler(range(7), seed=3)), total))
    assert [(int(i), i.seed) for i in seen] == [(int(i), i.seed) for i in whole]


@pytest.mark.parametrize('batch_sizes', [(3, 2, 5), (4, 4, 2)])
def test_another_batch_size_continues_with_the_next_sample(tmp_path, batch_sizes):
    seen = Seen()
    for i, batch_size in enumerate(batch_sizes, 1):
        runner = toy.runner(tmp_path, batch_size=batch_size, max_iters=4 * i, resume=i > 1, hooks=[seen])
        warnings = warnings_of(runner)
        runner.train()
        changed = i > 1 and batch_size != batch_sizes[i - 2]
        assert len(warnings) == changed and all('train_dataloader.batch_size' in text for text in warnings)
    expected = islice(ResumableSampler(toy.Points(), seed=7).indices(), 4 * sum(batch_sizes))
    assert seen.samples == list(expected)


def test_a_checkpoint_of_the_first_release_is_counted_by_its_config(tmp_path):
    toy.runner(tmp_path, max_iters=4).train()
    contents = read_checkpoint(tmp_path / 'iter_4.pth')
    for key in ('samples', 'samples_a_step', 'world_size'):
        del contents['meta'][key]
    contents['meta']['cfg'] = 'train_dataloader = dict(batch_size=3)'
    torch.save(contents, tmp_path / 'iter_4.pth')
    seen = Seen()
    toy.runner(tmp_path, batch_size=2, max_iters=6, resume=True, hooks=[seen]).train()
    assert seen.samples == list(islice(ResumableSampler(toy.Points(), seed=7).indices(12), 4))


def test_a_sampler_that_cannot_start_in_between_is_refused(tmp_path):
    toy.runner(tmp_path, max_iters=4, sampler='InfiniteSampler').train()
    toy.runner(tmp_path, max_iters=6, resume=True, sampler='InfiniteSampler').train()
    with pytest.raises(ConfigError, match=r'batch_size=3.*ResumableSampler'):
        toy.runner(tmp_path, max_iters=8, batch_size=2, resume=True, sampler='InfiniteSampler').train()


def test_an_empty_data_set_is_refused():
    with pytest.raises(samplers.DataError, match='list'):
        ResumableSampler([])


# what the config says otherwise

CONFIG = dict(
    optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01, betas=(0.9, 0.99))),
    param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0)],
    train_cfg=dict(max_iters=8),  # the end of the schedule
)


def with_config(folder, changes=(), **kwargs):
    """A runner of which the checkpoints and the resumed run know a config."""
    from mmengine.config import Config

    cfg = Config(CONFIG)
    if isinstance(changes.get('param_scheduler') if changes else None, dict):
        cfg.param_scheduler = changes['param_scheduler']  # would be merged
    else:
        cfg.merge_from_dict(dict(changes))
    runner = toy.runner(folder, **kwargs)
    runner.cfg = cfg
    return runner


@pytest.fixture
def trained(tmp_path):
    with_config(tmp_path, max_iters=4).train()
    return tmp_path


def test_equal_values_are_no_news(trained):
    runner = with_config(trained, dict(param_scheduler=CONFIG['param_scheduler'][0]), max_iters=5, resume=True)
    warnings = warnings_of(runner)
    runner.train()
    assert not warnings


@pytest.mark.parametrize(
    'changes, named',
    [
        ({'optim_wrapper.optimizer.lr': 0.5}, ['optim_wrapper.optimizer.lr', '0.5', '0.01']),
        ({'optim_wrapper.optimizer.weight_decay': 0.1}, ['optim_wrapper.optimizer.weight_decay', '0.1']),
        ({'optim_wrapper.paramwise_cfg': dict(norm_decay_mult=0.0)}, ['optim_wrapper.paramwise_cfg.norm_decay_mult']),
        ({'param_scheduler.0.end': 9}, ['param_scheduler.0.end', '9', '8']),
        ({'train_cfg.max_iters': 16}, ['param_scheduler.0.end = 16 here, 8 in']),
    ],
)
def test_values_that_a_resumed_run_does_not_take_are_named(trained, changes, named):
    runner = with_config(trained, changes, max_iters=5, resume=True)
    warnings = warnings_of(runner)
    runner.train()
    assert len(warnings) == 1 and all(
        word in warnings[0] for word in [*named, 'load_from', str(trained / 'iter_4.pth')]
    )


@pytest.mark.parametrize(
    'changes, named',
    [
        ({'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=0.1)}, 'optim_wrapper.optimizer.type'),
        ({'param_scheduler.0.type': 'PolyLR'}, 'param_scheduler.0.type'),
        ({'param_scheduler': CONFIG['param_scheduler'] * 2}, 'param_scheduler.1.type'),
    ],
)
def test_another_kind_of_optimiser_or_schedule_is_refused(trained, changes, named):
    with pytest.raises(CheckpointError, match=named) as error:
        with_config(trained, changes, max_iters=5, resume=True).train()
    assert 'load_from' in str(error.value)


@pytest.mark.parametrize(
    'changes, named',
    [
        (
            {'optim_wrapper.type': 'BFloat16OptimWrapper'},
            'optim_wrapper.type = BFloat16OptimWrapper here, OptimWrapper',
        ),
        ({'optim_wrapper.accumulative_counts': 2}, 'optim_wrapper.accumulative_counts = 2 here, 1 in'),
        ({'optim_wrapper.clip_grad': dict(max_norm=1.0)}, 'optim_wrapper.clip_grad.max_norm'),
        ({'adaptation': dict(policy=dict(type='A2SG'))}, 'adaptation.policy.type = A2SG here, unset in'),
        ({'membrane_loss': dict(type='IMLoss', weight=0.1)}, 'membrane_loss.type'),
        ({'model.head.loss': dict(type='TET')}, 'model.head.loss.type'),
        ({'model.backbone.neuron.tau': 3.0}, 'model.backbone.neuron.tau = 3.0 here, 2.0 in'),
        ({'frozen': ['features']}, 'frozen = .*features.* here, .*head'),
        ({'ema': True}, 'ema = True here, unset in'),
        ({'data_preprocessor.mean': [1.0]}, 'data_preprocessor.mean'),
        ({'custom_hooks': [dict(type='GrowTimeSteps', schedule=[(0, 1), (9, 4)])]}, 'GrowTimeSteps.schedule'),
        ({'default_hooks.stop_mixing': dict(type='StopMixing', at=3)}, 'StopMixing.at = 3 here, unset in'),
        ({'model.backbone.time_chunk': 2, 'model.backbone.chunked_norms': True}, 'model.backbone.time_chunk = 2'),
        ({'train_dataloader.sampler.seed': 3}, 'train_dataloader.sampler.seed = 3'),
    ],
)
def test_another_method_or_precision_is_refused(tmp_path, changes, named):
    network = dict(
        model=dict(backbone=dict(neuron=dict(type='LIF', tau=2.0), sizes=((1, 2), (3,)))),
        frozen='head',
        data_preprocessor=dict(mean=[0.0]),
    )
    with_config(tmp_path, network, max_iters=4).train()
    free = {
        'model.backbone.recompute': True,
        'model.backbone.time_chunk': 4,
        'custom_hooks': [dict(type='Mine')],
        'model.test_cfg': dict(T=2),
        'adaptation.log_interval': 7,
    }
    free |= {'data_preprocessor.non_blocking': True, 'ema': False, 'frozen': ['head']}
    same = {**network, **free, 'model.backbone.sizes': [[1, 2], [3]], 'optim_wrapper.accumulative_counts': 1}
    with_config(tmp_path, same, max_iters=5, resume=True).train()
    with pytest.raises(CheckpointError, match=named) as error:
        with_config(tmp_path, {**same, **changes}, max_iters=6, resume=True).train()
    assert 'load_from' in str(error.value)


@pytest.mark.parametrize('batch_size, sampler', [(10, 'ResumableEpochSampler'), (2, 'DefaultSampler')])
def test_epochs_continue_with_another_batch_size(tmp_path, batch_size, sampler):
    def run(epochs, batch_size, **kwargs):
        loop, checkpoint = dict(type='EpochBasedTrainLoop', max_epochs=epochs), dict(by_epoch=True, interval=1)
        return toy.runner(tmp_path, loop=loop, batch_size=batch_size, sampler=sampler, checkpoint=checkpoint, **kwargs)

    run(3, 5).train()
    seen = Seen()
    runner = run(5, batch_size, resume=True, hooks=[seen])
    runner.train()
    assert runner.epoch == 5 and runner.iter == 5 * len(runner.train_dataloader) == runner.max_iters
    assert sorted(set(seen.samples)) == list(range(len(toy.Points()))) and len(seen.samples) == 2 * len(toy.Points())
    with pytest.raises(ConfigError, match=r'train_cfg.max_epochs = 4 .*epoch 5'):
        run(4, 5, resume=True).train()


def test_another_preparation_of_the_training_data_is_said(tmp_path):
    def data(prob):
        return {'train_dataloader.dataset': dict(pipeline=[dict(type='BatchFlip', prob=prob)])}

    with_config(tmp_path, data(0.5), max_iters=4).train()
    runner = with_config(tmp_path, data(0.0), max_iters=5, resume=True)
    warnings = warnings_of(runner)
    runner.train()
    assert len(warnings) == 1 and 'train_dataloader.dataset.pipeline.0.prob = 0.0 here, 0.5 in' in warnings[0]


@pytest.mark.parametrize('noted', [True, False])
def test_progress_counts_to_the_end_that_the_run_began_with(tmp_path, noted):
    """Also over a second resume, and where only the config of the checkpoint tells the end."""

    class Share(toy.Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            shares.append(progress(runner))

    shares = []
    for i, end in enumerate((4, 6, 8)):
        with_config(tmp_path, {'train_cfg.max_iters': 4}, max_iters=end, resume=i > 0, hooks=[Share()]).train()
        contents = read_checkpoint(tmp_path / f'iter_{end}.pth')
        assert contents['meta']['end'] == 4
        if not noted:
            del contents['meta']['end']
            torch.save(contents, tmp_path / f'iter_{end}.pth')
    assert shares == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]


def test_a_run_that_ends_before_its_checkpoint_is_refused(trained):
    with pytest.raises(ConfigError, match=r'train_cfg.max_iters = 3 .*iter_4.pth'):
        with_config(trained, max_iters=3, resume=True).train()


def test_weights_alone_are_no_state_to_resume(tmp_path):
    toy.runner(tmp_path, max_iters=4).train()
    contents = read_checkpoint(tmp_path / 'iter_4.pth')
    del contents['optimizer']
    torch.save(contents, tmp_path / 'weights.pth')
    with pytest.raises(CheckpointError, match=r'weights.pth .*load_from'):
        toy.runner(tmp_path, resume=True, load_from=str(tmp_path / 'weights.pth')).train()
    toy.runner(tmp_path / 'new', load_from=str(tmp_path / 'weights.pth'), max_iters=1).train()


def test_another_seed_is_named(trained):
    runner = with_config(trained, dict(randomness=dict(seed=8)), max_iters=5, resume=True, seed=8)
    warnings = warnings_of(runner)
    runner.train()
    assert runner.seed == 7 and any('randomness.seed = 8' in text and '--work-dir' in text for text in warnings)
