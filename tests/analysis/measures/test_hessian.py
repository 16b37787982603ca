"""Hessian-vector products, eigenvalues and trace against dense matrices from independent definitions."""

from functools import partial

import pytest
import torch

from a2sg_zoo.analysis.measures.hessian import (
    Hessian,
    extreme_eigenvalues,
    hessian_spectrum,
    hessian_trace,
    in_bounded_batches,
    moved,
    sam_sharpness,
    twice_differentiable,
)
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.models.layers.time_chunks import run_in_chunks
from a2sg_zoo.neurons import ALIF, IF, ILIF, KLIF, LIF, PLIF, Recurrent
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan, Sigmoid
from tests.analysis.networks import classifier_objective, cross_entropy, perceptron
from tests.marks import slow_unless


def matrix(product, objective):
    return torch.stack([product(e) for e in torch.eye(objective.size, **objective.like)], dim=1)


def primitive(surrogate, z, beta):
    """A function whose derivative is f."""
    if isinstance(surrogate, Sigmoid):
        return torch.sigmoid(z / beta)
    if isinstance(surrogate, ATan):
        return torch.atan(torch.pi / 2 * z / beta) / torch.pi
    inside = z.clamp(-beta, beta)
    if isinstance(surrogate, ASY):
        return inside.square() / (4 * beta) + surrogate.h * inside
    if isinstance(surrogate, BOX):
        return inside / (2 * beta)
    return (inside - inside * inside.abs() / (2 * beta)) / beta


def straight_through(objective, w):
    """The loss with spikes of the value s and the derivatives of f's primitive: the chain rule's Hessian by
    construction, with none of the code under test."""
    model = objective.model
    weights = dict(zip(objective.names, objective.split(w)))

    def fire(neuron, x):
        v, spikes, d = torch.zeros_like(x[0]), [], neuron.dynamics
        decay, gain, shift = d.coefficients(neuron.rate)
        for x_t in x:
            u = decay * v + gain * x_t + shift
            smooth = primitive(neuron.surrogate, u - d.v_threshold, float(neuron.beta))
            s = (u >= d.v_threshold).to(u) + smooth - smooth.detach()
            r = s.detach() if d.detach_reset else s
            v = u * (1 - r) if d.hard_reset else u - d.v_threshold * r
            spikes.append(s)
        return torch.stack(spikes)

    total = 0
    for inputs, targets, share in objective.weighted_batches():
        x = fire(
            model.neuron1,
            torch.nn.functional.linear(inputs, weights['fc1.weight'], weights['fc1.bias']).expand(model.T, -1, -1),
        )
        x = fire(model.neuron2, torch.nn.functional.linear(x, weights['fc2.weight'], weights['fc2.bias'])).mean(0)
        logits = torch.nn.functional.linear(x, weights['out.weight'], weights['out.bias'])
        total = total + share * torch.nn.functional.cross_entropy(logits, targets)
    return total


SHAPES = [ASY(), TRI(0.8), BOX(), ATan(), Sigmoid(2.0)]


def weights_of(objective):
    return torch.nn.utils.parameters_to_vector(objective.parameters).detach()


@pytest.mark.parametrize('surrogate', slow_unless(SHAPES, SHAPES[::3]), ids=lambda s: type(s).__name__)
@pytest.mark.parametrize('reset, detach', [('hard', True), ('soft', False)])
def test_surrogate_hessian_against_dense(surrogate, reset, detach):
    objective = perceptron(surrogate, reset=reset, detach_reset=detach, decay_input=False)
    hessian = Hessian(objective)
    exact = torch.autograd.functional.hessian(lambda w: straight_through(objective, w), weights_of(objective))
    assert exact.abs().max() > 1e-2
    torch.testing.assert_close(matrix(hessian.transposed, objective), exact, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(matrix(hessian.product, objective), exact, rtol=1e-8, atol=1e-10)
    # symmetric by construction, although training follows no gradient
    assert hessian.asymmetry() < 1e-10

    values = torch.linalg.eigvalsh(exact)
    found = hessian_spectrum(objective, steps=objective.size, tolerance=1e-10)
    assert found.largest == pytest.approx(float(values[-1]), rel=1e-8)
    short = hessian_spectrum(objective)
    assert short.steps <= 40 and short.largest == pytest.approx(float(values[-1]), rel=1e-2)
    assert short.smallest == pytest.approx(float(values[0]), rel=1e-2)


def field_along(objective, v, eps=1e-6):
    """H v by finite differences of the gradient."""
    with moved(objective, eps * v):
        up = objective.gradient()
    with moved(objective, -eps * v):
        return (up - objective.gradient()) / (2 * eps)


@pytest.mark.parametrize(
    'surrogate', slow_unless((SHAPES[0], SHAPES[1], SHAPES[3]), SHAPES[:1]), ids=lambda s: type(s).__name__
)
def test_field_jacobian_against_finite_differences(surrogate):
    objective = perceptron(surrogate, decay_input=False)
    hessian, exact = Hessian(objective, 'field'), matrix(partial(field_along, objective), objective)
    torch.testing.assert_close(matrix(hessian.product, objective), exact, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(matrix(hessian.transposed, objective), exact.T, rtol=1e-5, atol=1e-7)

    ratio = float((exact - exact.T).norm() / (exact + exact.T).norm())
    assert ratio > 0.1
    assert hessian.asymmetry(vectors=60) == pytest.approx(ratio, rel=0.25)
    values = torch.linalg.eigvalsh((exact + exact.T) / 2)
    assert hessian_spectrum(objective, 'field', steps=objective.size).largest == pytest.approx(
        float(values[-1]), rel=1e-3
    )


class Integer(torch.nn.Module):
    """Two layers of integer neurons and a readout."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = (torch.nn.Linear(*sizes) for sizes in ((5, 6), (6, 6), (6, 3)))
        self.neuron1, self.neuron2 = ILIF(decay=0.5), ILIF(decay=0.5)

    def forward(self, x):
        return self.out(self.neuron2(self.fc2(self.neuron1(self.fc1(x).expand(2, -1, -1)))).mean(0))


def test_field_of_integer_neurons_against_finite_differences():
    """Their counts are piecewise constant, so that the readout's own derivatives are all that is left of those before
    it; the gradient passes through the counts as through the identity."""
    model = Integer().double()
    with torch.no_grad():
        for layer in (model.fc1, model.fc2):
            layer.weight.mul_(3)
            layer.bias.add_(0.8)
    objective = Objective(model, [(torch.randn(7, 5, dtype=torch.float64), torch.arange(7) % 3)], cross_entropy)
    hessian, exact = Hessian(objective, 'field'), matrix(partial(field_along, objective), objective)
    assert exact.abs().max() > 1e-2
    torch.testing.assert_close(matrix(hessian.product, objective), exact, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(matrix(hessian.transposed, objective), exact.T, rtol=1e-5, atol=1e-7)
    assert not any('advance' in vars(module) for module in model.modules())
    # the chain rule's has what passes through the counts, too
    assert not torch.allclose(matrix(Hessian(objective).product, objective), exact, rtol=1e-3)


class StepByStep(torch.nn.Module):
    """Two layers of neurons, which may have feedback or go through time in chunks, and a readout."""

    def __init__(self, layers, chunk=None):
        super().__init__()
        self.fc1, self.fc2, self.out = (torch.nn.Linear(*sizes) for sizes in ((2, 3), (3, 3), (3, 2)))
        self.chunk, (self.neuron1, self.neuron2) = chunk, layers

    def steps(self, x):
        return self.neuron2(self.fc2(self.neuron1(self.fc1(x))))

    def forward(self, x):
        x = x.expand(4, -1, -1)
        if self.chunk is None:
            return self.out(self.steps(x).mean(0))
        return self.out(run_in_chunks(self, lambda a, b: [self.steps(x[a:b])], 4, self.chunk, mean=True)[0])


def step_by_step(layers, chunk=None):
    torch.manual_seed(1)
    model = StepByStep(layers(), chunk).double()
    with torch.no_grad():
        for layer in (model.fc1, model.fc2):
            layer.weight.mul_(3)
            layer.bias.add_(0.8)
    return Objective(model, [(torch.randn(6, 2, dtype=torch.float64), torch.arange(6) % 2)], cross_entropy)


@pytest.mark.parametrize('kind', ['LIF', 'NILIF'])
def test_field_of_neurons_with_feedback_against_finite_differences(kind):
    objective = step_by_step(lambda: [Recurrent(dict(type=kind), 3) for _ in range(2)])
    hessian, (v, w) = Hessian(objective, 'field'), torch.randn(2, objective.size, **objective.like)
    exact = field_along(objective, v)
    assert exact.abs().max() > 1e-2
    torch.testing.assert_close(hessian.product(v), exact, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(hessian.transposed(w) @ v, w @ exact, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('kind', ['surrogate', 'field'])
def test_chunks_of_time_steps_have_the_same_hessian(kind):
    whole, chunks = (step_by_step(lambda: [LIF(), ILIF()], chunk) for chunk in (None, 2))
    v = torch.randn(whole.size, **whole.like)
    for product in ('product', 'transposed'):
        expected = getattr(Hessian(whole, kind), product)(v)
        assert expected.any()
        torch.testing.assert_close(getattr(Hessian(chunks, kind), product)(v), expected)


def test_batches_shrink_with_the_memory():
    objective = classifier_objective(sizes=(8, 3))
    assert [len(y) for _, y in in_bounded_batches(objective, 1e12).batches] == [8, 3]
    assert [len(y) for _, y in in_bounded_batches(objective, 1).batches] == [1] * 11
    v = torch.randn(objective.size, **objective.like)
    torch.testing.assert_close(Hessian(in_bounded_batches(objective, 1)).product(v), Hessian(objective).product(v))


def test_field_of_box_does_not_see_the_first_layer():
    """Its weights move potentials alone; those behind them appear in the gradient by themselves."""
    objective = perceptron(BOX(), decay_input=False)
    H = matrix(Hessian(objective, 'field').product, objective)
    first = sum(objective.parameters[i].numel() for i in objective.layers['fc1'])
    assert not H[:, :first].any() and H[:first].any()
    assert matrix(Hessian(objective).product, objective)[:, :first].any()


@pytest.mark.parametrize('neuron', [IF, LIF, PLIF, ALIF, KLIF])
def test_swapped_neurons_give_the_same_gradient(neuron):
    objective = perceptron(ASY(), neuron=neuron)
    objective.model.neuron1.beta = torch.tensor([0.7, 0.9, 1.1], dtype=torch.float64)
    before = objective.gradient()
    with twice_differentiable(objective.model):
        torch.testing.assert_close(objective.gradient(), before)
    assert 'forward' not in vars(objective.model.neuron1)


def test_the_whole_of_a_convolutional_network():
    objective = classifier_objective()
    H = matrix(Hessian(objective).transposed, objective)
    torch.testing.assert_close(H, H.T, rtol=1e-8, atol=1e-9)
    found = hessian_spectrum(objective, steps=100, tolerance=1e-8)
    assert found.largest == pytest.approx(float(torch.linalg.eigvalsh(H)[-1]), rel=1e-6)
    mean, error = hessian_trace(objective, vectors=100)
    assert abs(mean - float(H.trace())) < 4 * error


def test_lanczos_on_matrices():
    values = torch.cat([torch.linspace(-3, 1, 60, dtype=torch.float64), torch.tensor([5.0], dtype=torch.float64)])
    Q, _ = torch.linalg.qr(torch.randn(61, 61, dtype=torch.float64))
    A = Q @ values.diag() @ Q.T
    found = extreme_eigenvalues(lambda v: A @ v, 61, tolerance=1e-9, dtype=torch.float64)
    assert found.largest == pytest.approx(5, rel=1e-8) and found.residual_largest < 1e-8
    zero = extreme_eigenvalues(lambda v: 0 * v, 61)
    assert (zero.largest, zero.smallest, zero.steps) == (0, 0, 1) and zero.residual_largest is None
    with pytest.raises(A2SGError, match='NaN'):
        extreme_eigenvalues(lambda v: v * float('nan'), 61)


def test_sam_sharpness():
    objective = perceptron(ATan())
    w, g = weights_of(objective), objective.gradient()
    found = sam_sharpness(objective, rho=0.3)
    torch.testing.assert_close(weights_of(objective), w, rtol=0, atol=0)
    torch.nn.utils.vector_to_parameters(w + 0.3 * g / g.norm(), objective.parameters)
    higher = sum(share * cross_entropy(objective.model, x, y).item() for x, y, share in objective.weighted_batches())
    torch.nn.utils.vector_to_parameters(w, objective.parameters)
    assert found == pytest.approx(higher - objective.loss(), rel=1e-12) and found != 0


def test_weights_return_after_an_error():
    objective = perceptron(ASY())
    w = weights_of(objective)
    with pytest.raises(RuntimeError), moved(objective, torch.ones_like(w)):
        assert not torch.equal(weights_of(objective), w)
        raise RuntimeError
    assert torch.equal(weights_of(objective), w)
