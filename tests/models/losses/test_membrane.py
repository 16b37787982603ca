"""Losses on membrane potentials: values by hand, gradients by plain autograd, and the hook that adds them."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from a2sg_zoo.engine.hooks import MembraneLoss
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.models.losses import IMLoss, MembraneKL, RMPLoss
from a2sg_zoo.neurons import LIF, multistep_reference, recorded_potentials
from a2sg_zoo.registry import HOOKS


def layer(values, v_threshold=1.0):
    return LIF(v_threshold=v_threshold), torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_im_loss_by_hand():
    a, b = layer([[0.0, 1.0], [1.0, 2.5]]), layer([[1.0, 3.0]], v_threshold=2.0)  # means 1.125 and 2 = 1 threshold
    assert IMLoss()([a, b]).item() == pytest.approx(0.125**2)
    (gradient,) = torch.autograd.grad(IMLoss()([a, b]), a[1])
    torch.testing.assert_close(gradient, torch.full((2, 2), 2 * 0.125 / 4, dtype=torch.float64))


@pytest.mark.parametrize('p, expected', [(1, (0.5 + 0.25 + 0.0 + 1.0) / 4), (2, (0.25 + 0.0625 + 0.0 + 1.0) / 4)])
def test_rmp_loss_by_hand(p, expected):
    a = layer([[-0.5, 0.25], [1.0, 2.0]])  # the threshold itself is a spike
    b = layer([[-1.0, 0.5], [2.0, 4.0]], v_threshold=2.0)
    assert RMPLoss(p)([a]).item() == pytest.approx(expected)
    assert RMPLoss(p)([a, b]).item() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(RMPLoss(p)([a]), a[1])
    by_hand = [[-0.25, 0.25], [0.0, 0.25]] if p == 1 else [[-0.25, 0.125], [0.0, 0.5]]
    torch.testing.assert_close(gradient, torch.tensor(by_hand, dtype=torch.float64))


def test_kl_is_that_of_gaussians():
    neuron, u = layer(torch.randn(4, 30).tolist(), v_threshold=2.0)
    fit = Normal(u.mean() / 2, u.std(correction=0) / 2)
    expected = kl_divergence(fit, Normal(torch.tensor(0.8).double(), torch.tensor(0.7).double()))
    torch.testing.assert_close(MembraneKL(mean=0.8, std=0.7)([(neuron, u)]), expected)
    (ours,) = torch.autograd.grad(MembraneKL(0.8, 0.7)([(neuron, u)]), u)
    (theirs,) = torch.autograd.grad(expected, u)
    torch.testing.assert_close(ours, theirs)


def test_kl_of_a_layer_in_which_nothing_varies_is_finite():
    neuron, u = layer([[1.0, 1.0]])
    loss = MembraneKL()([(neuron, u)])
    assert loss.isfinite() and torch.autograd.grad(loss, u)[0].isfinite().all()


@pytest.mark.parametrize('loss', [IMLoss(), RMPLoss(), MembraneKL()])
def test_sums_of_half_precision_are_not_taken_in_it(loss):
    neuron = LIF()
    u = torch.rand(4, 100_000) + 0.5
    half = loss([(neuron, u.half())])
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, loss([(neuron, u.half().float())]))


def test_gradient_reaches_the_input_through_time():
    """The loss on u of a layer, against autograd through a loop over time steps."""
    neuron = LIF(tau=2.0).double()
    x = (2 * torch.randn(4, 3, 5, dtype=torch.float64)).requires_grad_()
    with recorded_potentials(neuron) as potentials:
        neuron(x)
    (ours,) = torch.autograd.grad(RMPLoss()(potentials), x)
    v, u = torch.zeros(3, 5, dtype=torch.float64), []
    for s, x_t in zip(multistep_reference(x, 0.5, neuron.dynamics, neuron.surrogate, neuron.beta).detach(), x):
        u.append(v + (x_t - v) / 2)
        v = u[-1] * (1 - s)
    (theirs,) = torch.autograd.grad(RMPLoss()([(neuron, torch.stack(u))]), x)
    torch.testing.assert_close(ours, theirs)


def classifier():
    return SpikingClassifier(
        dict(type='SpikingResNet', depths=(1,), widths=(4,), stem=4, T=2, time='keep'),
        dict(type='LinearHead', in_channels=4, num_classes=3),
    )


@pytest.mark.parametrize('growth, share', [('constant', 1.0), ('linear', 0.25)])
def test_hook_adds_the_loss(growth, share):
    model = classifier().train()
    runner = SimpleNamespace(model=model, iter=25, max_iters=100)
    images, labels = torch.randn(2, 3, 6, 6), torch.tensor([0, 1])
    plain = model(images, labels, mode='loss')
    hook = HOOKS.build(dict(type='MembraneLoss', loss=dict(type='RMPLoss'), weight=0.5, growth=growth))
    hook.before_run(runner)
    hook.before_train_iter(runner, 0)
    with recorded_potentials(model) as potentials:
        model.backbone(images)
    for call in (lambda: model(images, labels, mode='loss'), lambda: model(images, labels, 'loss')):
        losses = call()
        assert losses.keys() == {'loss', 'loss_membrane'}
        torch.testing.assert_close(losses['loss_membrane'], 0.5 * share * RMPLoss()(potentials))
    total, _ = model.parse_losses(losses)
    torch.testing.assert_close(total, plain['loss'] + losses['loss_membrane'])
    assert torch.autograd.grad(losses['loss_membrane'], model.backbone.stem.conv.weight)[0].abs().sum() > 0
    assert model(images).shape == (2, 2, 3)
    with pytest.raises(ConfigError):  # a forward pass that fails leaves nothing behind
        model(torch.randn(2, 5, 6, 6), labels, mode='loss')
    assert all(neuron.potentials is None for neuron, _ in potentials)
    assert 'loss_membrane' in model(images, labels, mode='loss')
    hook.after_run(runner)
    assert model(images, labels, mode='loss').keys() == {'loss'}


def test_mistakes():
    with pytest.raises(ConfigError, match='Linear'):
        MembraneLoss(dict(type='IMLoss'), 1.0).before_run(SimpleNamespace(model=nn.Linear(1, 1)))
    with pytest.raises(ConfigError, match='growth.*fast'):
        MembraneLoss(dict(type='IMLoss'), 1.0, growth='fast')
    with pytest.raises(ConfigError, match=r'\bp\b.*\b3'):
        RMPLoss(3)
    with pytest.raises(ValueError, match=r'\bstd\b.*-1'):
        MembraneKL(std=-1)
    assert math.isclose(MembraneKL().std, 1.0)
