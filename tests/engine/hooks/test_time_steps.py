"""The number of time steps of a training grows by schedule, and depends on the iteration alone."""

import logging
from types import SimpleNamespace

import pytest
import torch

from a2sg_zoo.adaptation import attach
from a2sg_zoo.engine.hooks import GrowTimeSteps
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.registry import POLICIES


@pytest.fixture
def model():
    return SpikingClassifier(
        backbone=dict(type='SpikingResNet', depths=(1,), widths=(8,), stem=8, T=2, time='keep'),
        head=dict(type='LinearHead', in_channels=8, num_classes=10),
    ).train()


def step(hook, model, iteration):
    """The numbers of time steps that the backbone runs in an iteration."""
    seen = []
    handle = model.backbone.register_forward_hook(lambda module, args, out: seen.append(len(out[-1])))
    hook.before_train_iter(SimpleNamespace(iter=iteration, model=model, logger=logging.getLogger()), 0)
    model(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]), mode='loss')['loss'].backward()
    handle.remove()
    return seen


def test_time_steps_follow_the_schedule(model):
    hook = GrowTimeSteps([(0, 1), (3, 2), (5, 4)])
    assert [step(hook, model, i) for i in range(6)] == [[1], [1], [1], [2], [2], [4]]
    # a run that resumes in the middle
    assert step(GrowTimeSteps([(0, 1), (3, 2)]), model, 4) == [2]
    assert step(GrowTimeSteps([(0, 1), (3, 2)]), model, 1) == [1]
    model.eval()
    assert len(model(torch.rand(1, 3, 8, 8), [0], mode='predict')[0]['logits']) == 2


def test_a_policy_has_a_width_for_each_time_step(model):
    policy = POLICIES.build(dict(type='A2SG', searcher=dict(type='ExactSearcher')))
    attach(model, policy)
    hook = GrowTimeSteps([(0, 1), (3, 2)])
    for iteration in (0, 2, 3, 4):
        policy.begin(iteration)
        assert step(hook, model, iteration) == [1 if iteration < 3 else 2]
        assert {n.beta.numel() for n in named_neurons(model).values()} == {1 if iteration < 3 else 2}


@pytest.mark.parametrize('schedule', [[], [(1, 1)], [(0, 1), (0, 2)], [(0, 2), (5, 1), (3, 2)], [(0, 0)]])
def test_schedules_without_meaning_are_refused(schedule):
    with pytest.raises(ConfigError, match='schedule'):
        GrowTimeSteps(schedule)
