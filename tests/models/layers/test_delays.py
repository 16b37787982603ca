"""Learned delays, against sums written out, and the hook that narrows their kernels."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from a2sg_zoo.engine.hooks import NarrowDelays
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import DelayLinear


def test_kernels_of_training_by_hand():
    layer = DelayLinear(3, 2, max_delay=5, sigma=0.8).double().train()
    layer.sigma.fill_(0.8)
    x = torch.randn(7, 4, 3, dtype=torch.float64)
    expected = torch.zeros(7, 4, 2, dtype=torch.float64)
    for i in range(2):
        for j in range(3):
            shares = [torch.exp(-(((n - layer.delay[i, j]) / 0.8) ** 2) / 2) for n in range(5)]
            for t in range(7):
                for n in range(min(5, t + 1)):
                    share = shares[n] / (sum(shares) + 1e-7)
                    expected[t, :, i] = expected[t, :, i] + layer.weight[i, j] * share * x[t - n, :, j]
    torch.testing.assert_close(layer(x), expected)


def test_outside_training_every_synapse_is_one_rounded_delay():
    layer = DelayLinear(2, 3, max_delay=6).eval()
    x = torch.randn(9, 4, 2)
    expected = torch.zeros(9, 4, 3)
    for i in range(3):
        for j in range(2):
            n = round(layer.delay[i, j].item())
            expected[n:, :, i] += layer.weight[i, j] * x[: 9 - n, :, j]
    torch.testing.assert_close(layer(x), expected)


def test_a_narrow_kernel_at_a_whole_delay_is_that_of_prediction():
    layer = DelayLinear(4, 4, max_delay=7)
    layer.delay.data.round_()
    layer.sigma.fill_(0.05)
    torch.testing.assert_close(layer.train().kernel(), layer.eval().kernel())


def test_a_kernel_between_two_taps_keeps_its_weight():
    layer = DelayLinear(1, 1, max_delay=7, sigma=0.1).train()
    layer.weight.data.fill_(1.0)
    layer.delay.data.fill_(3.5)
    assert layer.kernel().sum().item() == pytest.approx(1, abs=0.02)


def test_gradients_of_weights_and_delays():
    layer = DelayLinear(2, 2, max_delay=4, sigma=1.0).double().train()
    x = torch.randn(5, 1, 2, dtype=torch.float64)
    layer.delay.data.clamp_(0.2, 2.8)

    def run(weight, delay):
        return torch.func.functional_call(layer, dict(weight=weight, delay=delay), x)

    assert torch.autograd.gradcheck(run, (layer.weight, layer.delay))


def test_a_delay_outside_its_range_counts_as_that_at_its_end_and_can_return():
    layer = DelayLinear(1, 1, max_delay=4, sigma=1.0).train()
    layer.delay.data.fill_(9.0)
    outside = layer.kernel()
    outside[..., 2].sum().backward()
    assert layer.delay.grad.abs() > 0
    layer.delay.data.fill_(3.0)
    torch.testing.assert_close(layer.kernel(), outside)


def test_the_hook_narrows_by_the_iteration_alone():
    model = nn.Sequential(DelayLinear(2, 2, max_delay=9))
    (layer,) = model
    runner = SimpleNamespace(model=model, iter=0)
    hook = NarrowDelays(end=10, sigma=0.25)
    hook.before_train(runner)
    seen = {}
    for i in (0, 5, 10, 99):
        runner.iter = i
        hook.before_train_iter(runner, i)
        seen[i] = layer.sigma.item()
    assert seen[0] == layer.initial_sigma == 4 and seen[5] == pytest.approx(1.0) and seen[10] == seen[99] == 0.25
    layer.delay.data.copy_(torch.tensor([[-3.0, 11.0], [2.5, 8.0]]))
    hook.after_train_iter(runner, 0)
    assert layer.delay.tolist() == [[0.0, 8.0], [2.5, 8.0]]


def test_mistakes():
    with pytest.raises(ConfigError, match='NarrowDelays'):
        NarrowDelays(end=10).before_train(SimpleNamespace(model=nn.Linear(2, 2)))
    with pytest.raises(ConfigError, match='end.*0'):
        NarrowDelays(end=0)
    for make in (lambda sigma: DelayLinear(2, 2, max_delay=3, sigma=sigma), lambda sigma: NarrowDelays(9, sigma)):
        for sigma in (0.0, 0.05, True):  # a narrower kernel between two taps loses its weight
            with pytest.raises(ConfigError, match='sigma.*0.1'):
                make(sigma)
