"""The number of time steps of a training grows by schedule, and depends on the iteration alone."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.registry import init_default_scope

from a2sg_zoo.adaptation import attach
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.hooks import GrowTimeSteps
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.registry import MODELS, POLICIES


@pytest.fixture
def model():
    return SpikingClassifier(
        backbone=dict(type='SpikingResNet', depths=(1,), widths=(8,), stem=8, T=2, time='keep'),
        head=dict(type='LinearHead', in_channels=8, num_classes=10),
    ).train()


def runner(model, iteration=0, hooks=()):
    return SimpleNamespace(iter=iteration, model=model, logger=logging.getLogger(), hooks=hooks)


def begun(schedule, model):
    hook = GrowTimeSteps(schedule)
    hook.before_train(runner(model))
    return hook


def step(hook, model, iteration):
    """The numbers of time steps that the backbone runs in an iteration."""
    seen = []
    handle = model.backbone.register_forward_hook(lambda module, args, out: seen.append(len(out[-1])))
    hook.before_train_iter(runner(model, iteration), 0)
    model(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), mode='loss')['loss'].backward()
    handle.remove()
    return seen


def test_time_steps_follow_the_schedule(model):
    hook = begun([(0, 1), (3, 2), (5, 4)], model)
    assert [step(hook, model, i) for i in range(6)] == [[1], [1], [1], [2], [2], [4]]
    hook.after_train(runner(model))
    assert model.backbone.T == 2
    # a run that resumes in the middle
    assert step(begun([(0, 1), (3, 2)], model), model, 4) == [2]
    assert step(begun([(0, 1), (3, 2)], model), model, 1) == [1]


def test_predictions_have_all_time_steps(model):
    hook = begun([(0, 1), (3, 2)], model)
    assert step(hook, model, 1) == [1]
    hook.before_val(runner(model))
    assert len(model.eval()(torch.rand(1, 3, 8, 8))) == 2
    assert len(model(torch.rand(1, 3, 8, 8), [0], mode='predict')[0]['logits']) == 2
    assert step(hook, model.train(), 2) == [1]


@pytest.mark.parametrize('update_buffers', [False, True])
def test_a_moving_average_of_the_weights_grows_too(model, update_buffers):
    policy = POLICIES.build(dict(type='A2SG', searcher=dict(type='ExactSearcher'), memory=0.5))
    attach(model, policy)
    averaged = EMAHook(update_buffers=update_buffers)
    hook = begun([(0, 2), (1, 4), (2, 1)], model)
    averaged.before_run(runner(model))
    for iteration, T in enumerate((2, 4, 1)):
        run = runner(model, iteration, [averaged, hook])
        hook.before_train_iter(run, 0)
        policy.begin(iteration)
        model(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), mode='loss')['loss'].backward()
        averaged.ema_model.update_parameters(model)
        state = averaged.ema_model.module.state_dict()
        assert {len(x) for name, x in state.items() if name.endswith(('.beta', '.policy_moments'))} == {T}
        # the tensors that are averaged are those of the network that is saved
        assert all(x.data_ptr() == state[name].data_ptr() for name, x in averaged.ema_model.avg_parameters.items())


def test_a_network_for_segmentation_grows_too():
    init_default_scope('a2sg_zoo')
    model = MODELS.build(load_config('meta_spikeformer_small_camvid').model)
    hook = begun([(0, 1), (3, 2)], model)
    for iteration, T in ((0, 1), (3, 2)):
        hook.before_train_iter(runner(model, iteration), 0)
        assert {len(x) for x in model.backbone(torch.rand(1, 3, 32, 32))} == {T}
        assert {n.beta.numel() for n in named_neurons(model).values() if n.time_steps} == {T}


def test_a_network_without_a_backbone_is_refused():
    with pytest.raises(ConfigError, match=r'model\.backbone'):
        begun([(0, 1)], torch.nn.Linear(1, 1))


def test_a_policy_has_a_width_for_each_time_step(model):
    policy = POLICIES.build(dict(type='A2SG', searcher=dict(type='ExactSearcher')))
    attach(model, policy)
    hook = begun([(0, 1), (3, 2)], model)
    for iteration in (0, 2, 3, 4):
        policy.begin(iteration)
        assert step(hook, model, iteration) == [1 if iteration < 3 else 2]
        assert {n.beta.numel() for n in named_neurons(model).values()} == {1 if iteration < 3 else 2}


@pytest.mark.parametrize('schedule', [[], [(1, 1)], [(0, 1), (0, 2)], [(0, 2), (5, 1), (3, 2)], [(0, 0)]])
def test_schedules_without_meaning_are_refused(schedule):
    with pytest.raises(ConfigError, match='schedule'):
        GrowTimeSteps(schedule)
