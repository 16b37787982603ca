"""Steps on quadratics in closed form, and what they leave alone."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from a2sg_zoo.adaptation import A2SG, CPNG, LSG, MPDAGL, attach
from a2sg_zoo.engine.optimizers import FisherOptimWrapper, SAMOptimWrapper
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers import SpikingClassifier
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.registry import OPTIM_WRAPPERS

A = torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64)


class Quadratic(BaseModel):
    """w^T A w / 2 + noise^T w."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.w, self.noise = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64)), noise

    def forward(self, inputs, mode='loss'):
        noise = self.noise * torch.randn(2, dtype=torch.float64)
        return dict(loss=self.w @ A @ self.w / 2 + noise @ self.w)


def wrap(cls, model, momentum=0.0, **kwargs):
    return cls(torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum), **kwargs)


def sam_gradient(w, rho, noise=0.0):
    g = A @ w + noise
    return A @ (w + rho * g / g.norm()) + noise


@pytest.mark.parametrize('momentum', [0.0, 0.9])
def test_sam_on_a_quadratic(momentum):
    model = Quadratic()
    wrapper = wrap(SAMOptimWrapper, model, momentum, rho=0.3)
    w, velocity = model.w.detach().clone(), 0
    for _ in range(3):
        model.train_step(dict(inputs=[torch.zeros(1)]), wrapper)
        velocity = momentum * velocity + sam_gradient(w, 0.3)
        w = w - 0.1 * velocity
        torch.testing.assert_close(model.w.detach(), w)
        assert model.w.grad is None


def test_both_passes_of_sam_see_the_same_random_numbers():
    model = Quadratic(noise=0.5)
    w = model.w.detach().clone()
    torch.manual_seed(3)
    model.train_step(dict(inputs=[torch.zeros(1)]), wrap(SAMOptimWrapper, model, rho=0.3))
    after = torch.rand(1)
    torch.manual_seed(3)
    noise = 0.5 * torch.randn(2, dtype=torch.float64)
    torch.testing.assert_close(model.w.detach(), w - 0.1 * sam_gradient(w, 0.3, noise))
    assert torch.rand(1) == after


@pytest.mark.parametrize('w', [[0.0, 0.0], [float('inf'), 1.0]])
def test_sam_without_a_direction_to_climb_in(w):
    model = Quadratic()
    with torch.no_grad():
        model.w.copy_(torch.tensor(w))
    model.train_step(dict(inputs=[torch.zeros(1)]), wrap(SAMOptimWrapper, model))
    # zero stays zero; infinity gives the plain step's result, for the guard to see
    assert model.w.equal(torch.zeros(2).double()) if w[0] == 0 else not model.w.isfinite().all()


def small_classifier(neuron='LIF'):
    torch.manual_seed(0)
    return SpikingClassifier(
        dict(type='SpikingResNet', depths=(1,), widths=(4,), stem=4, T=2, time='keep', neuron=dict(type=neuron)),
        dict(type='LinearHead', in_channels=4, num_classes=3),
    ).train()


def batch():
    generator = torch.Generator().manual_seed(1)
    return dict(inputs=torch.randn(4, 3, 6, 6, generator=generator), data_samples=torch.tensor([0, 1, 2, 0]))


def test_sam_leaves_statistics_and_windows_of_the_first_pass():
    sam, plain = small_classifier(), small_classifier()
    policies = []
    for model, cls, kwargs in ((sam, SAMOptimWrapper, dict(rho=1.0)), (plain, None, {})):
        policy = A2SG(searcher=dict(type='ExactSearcher'), sample=None)
        policies.append(policy)
        attach(model, policy)
        policy.begin(0, observe=True)
        if cls:
            model.train_step(batch(), wrap(cls, model, **kwargs))
        else:
            model(**batch(), mode='loss')['loss'].backward()
    assert policies[0].searching and policies[0].observing and policies[0].searches == policies[1].searches
    for (name, a), b in zip(sam.named_buffers(), plain.buffers()):
        assert a.equal(b), name
    for a, b in zip(named_neurons(sam).values(), named_neurons(plain).values()):
        assert policies[0].records[a]['sgv'].equal(policies[1].records[b]['sgv'])
    assert not any(a.equal(b) for a, b in zip(sam.parameters(), plain.parameters()))


@pytest.mark.parametrize('policy, neuron', [(MPDAGL, 'LIF'), (LSG, 'PLIF'), (CPNG, 'LIF')])
def test_sam_leaves_windows_that_follow_from_the_pass(policy, neuron):
    """Those of policies that set them in every backward pass, whether it is one to search in or not."""
    windows = []
    for sam in (True, False):
        model = small_classifier(neuron)
        neurons = attach(model, policy(**dict(target=0.3) if policy is CPNG else {}))
        next(iter(neurons.values())).policy.begin(0)
        if sam:
            model.train_step(batch(), wrap(SAMOptimWrapper, model, rho=1.0))
        else:
            model(**batch(), mode='loss')['loss'].backward()
        windows.append({name: neuron.beta.tolist() for name, neuron in neurons.items()})
    assert windows[0] == windows[1]


def test_sam_needs_the_forward_pass():
    model = Quadratic()
    wrapper = wrap(SAMOptimWrapper, model)
    model.train_step(dict(inputs=[torch.zeros(1)]), wrapper)
    with pytest.raises(ConfigError, match='optim_context'):
        wrapper.update_params(model([torch.zeros(1)])['loss'])


def test_sam_does_not_accumulate():
    with pytest.raises(ConfigError, match='accumulative_counts'):
        wrap(SAMOptimWrapper, Quadratic(), accumulative_counts=2)
    with pytest.raises(ValueError, match='SAMOptimWrapper: rho '):
        wrap(SAMOptimWrapper, Quadratic(), rho=0)


def test_fisher_by_hand():
    model = Quadratic()
    wrapper = wrap(FisherOptimWrapper, model, damping=0.5, decay=0.9)
    w, fisher = model.w.detach().clone(), 0
    for n in range(1, 5):
        model.train_step(dict(inputs=[torch.zeros(1)]), wrapper)
        g = A @ w
        fisher = 0.9 * fisher + 0.1 * g**2
        step = g / (fisher / (1 - 0.9**n) + 0.5)
        w = w - 0.1 * step * g.norm() / step.norm()
        torch.testing.assert_close(model.w.detach(), w)


def test_fisher_goes_on_from_its_state():
    whole, parts = Quadratic(), Quadratic()
    wrappers = [wrap(FisherOptimWrapper, model, momentum=0.9) for model in (whole, parts)]
    for i in range(6):
        if i == 3:
            state = copy.deepcopy(wrappers[1].state_dict())
            wrappers[1] = wrap(FisherOptimWrapper, parts, momentum=0.9)
            wrappers[1].load_state_dict(state)
        for model, wrapper in zip((whole, parts), wrappers):
            model.train_step(dict(inputs=[torch.zeros(1)]), wrapper)
    assert whole.w.equal(parts.w)
    with pytest.raises(ConfigError, match='optim_wrapper.type'):
        wrappers[0].load_state_dict(torch.optim.SGD(whole.parameters(), lr=0.1).state_dict())


def test_fisher_counts_the_gradients_of_each_parameter():
    early, late = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    wrapper = FisherOptimWrapper(torch.optim.SGD([early, late], lr=0.1))
    wrapper.step()  # there is no gradient
    for _ in range(5):
        wrapper.update_params(3 * early.sum())
    before = late.detach().clone()
    wrapper.update_params(3 * early.sum() + 3 * late.sum())
    torch.testing.assert_close(before - late, torch.full((2,), 0.3))  # F' is 9 for both, so the step is the plain one
    assert wrapper.steps == [6, 1]
    state = wrapper.state_dict()
    state['fisher']['steps'] = 6  # as older checkpoints have it
    wrapper.load_state_dict(state)
    assert wrapper.steps == [6, 6]


def test_fisher_takes_no_note_of_a_gradient_that_is_not_finite():
    model = Quadratic()
    wrapper = wrap(FisherOptimWrapper, model)
    model.train_step(dict(inputs=[torch.zeros(1)]), wrapper)
    before = wrapper.fisher[0].clone()
    model.w.grad = torch.tensor([float('nan'), 1.0], dtype=torch.float64)
    wrapper.step()
    assert wrapper.fisher[0].equal(before) and model.w.isnan().any()


def test_registered():
    assert {'SAMOptimWrapper', 'FisherOptimWrapper'} <= {*OPTIM_WRAPPERS.names()}
    for decay in (1.0, -0.1, True):
        with pytest.raises(ConfigError, match='FisherOptimWrapper: decay '):
            wrap(FisherOptimWrapper, Quadratic(), decay=decay)
