"""The figures behind the claims of exactness: what `a2sg-zoo verify` prints."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from a2sg_zoo.adaptation import A2SG, DirectObjective, PolicyController, attach
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.evidence import exactness
from a2sg_zoo.neurons import IF, LIF, PLIF, LayerGradients, LocalGradient, Neuron, multistep_reference
from a2sg_zoo.registry import MODELS
from a2sg_zoo.surrogates import ASY, BOX, TRI, ATan

NEURONS = {
    'IF': lambda **k: IF(**k),
    'LIF': lambda **k: LIF(tau=2.0, **k),
    'LIF, summed input': lambda **k: LIF(tau=2.0, decay_input=False, **k),
    'PLIF': lambda **k: PLIF(tau=2.5, **k),
    'PLIF, summed input': lambda **k: PLIF(tau=2.5, decay_input=False, **k),
}
SHAPES = [ASY(0.7, 0.6), TRI(0.9), BOX(1.1), ATan()]
FINE = 1024


def gradient_error(make: Callable[..., Any], T: int = 8) -> float:
    """Return the largest relative error (max norm) of dL/dx and of the parameters' gradients.

    The hand-written backward pass is compared with plain autograd over resets, reset potentials and shapes.

    Args:
        make: function that makes a neuron from its other arguments.
        T: time steps.
    """
    worst = 0.0
    for reset, detach, v_reset, shape in itertools.product(['hard', 'soft'], [True, False], [0.0, -0.3], SHAPES):
        neuron: Any = make(surrogate=shape, reset=reset, detach_reset=detach, v_reset=v_reset).double()
        neuron.beta = torch.rand(T, dtype=torch.float64) + 0.3
        x = (torch.randn(T, 16, 32, dtype=torch.float64) + 0.5).requires_grad_()
        cotangent = torch.randn_like(x)
        wanted = [x, *neuron.parameters()]
        ours = torch.autograd.grad((neuron(x) * cotangent).sum(), wanted)
        reference: Any = multistep_reference(x, neuron.rate, neuron.dynamics, shape, neuron.beta)
        for a, b in zip(ours, torch.autograd.grad((reference * cotangent).sum(), wanted)):
            worst = max(worst, float((a - b).abs().max() / b.abs().max()))
    return worst


class CheckedController(PolicyController):
    """A controller that compares each of its choices with brute force on all elements of the layer."""

    def choose(self, gradients: LayerGradients) -> Tensor:
        """Choose the widths, and let the policy check each of them."""
        widths = super().choose(gradients)

        def shape(t, gradient):
            self.policy.check(self.neuron, gradient, widths[t])
            return self.surrogate(gradient.z, widths[t])

        gradients.scan(shape)
        return widths


class Checked(A2SG):
    """A2SG that compares each of its choices with brute force. It has no guard against widths that starve a layer.

    Attributes:
        gaps: what `check` found, see `search_gaps`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_inside=0, **kwargs)
        self.gaps = {'spatial': [], 'temporal': []}

    def controller(self, neuron: Neuron) -> CheckedController:
        """Return a controller that checks its choices."""
        return CheckedController(self, neuron)

    def check(self, neuron: Neuron, gradient: LocalGradient, width: Tensor) -> None:
        """Record by how much the objective at a width exceeds the least one.

        Args:
            neuron: the neuron.
            gradient: its local gradient at one time step.
            width: width that was chosen there.
        """
        if width == self.surrogate.beta:  # no candidate had a value
            return
        fine = torch.linspace(float(self.grid[0]), float(self.grid[-1]), FINE, dtype=torch.float64)
        chosen = torch.cat([fine * neuron.v_threshold, width.double()[None]])
        values = DirectObjective(self.surrogate, chosen.sort().values, LocalGradient(*gradient)).curve()
        order = chosen.argsort()
        value = values[order == FINE]
        finite = values[values.isfinite()]
        gap = (value - finite.min()) / (finite.max() - finite.min())
        # the best point of a grid may cost as much as the worst value within one of its steps of the true optimum
        step = (self.grid[1] - self.grid[0]) * neuron.v_threshold
        candidates = chosen.sort().values
        near = values[(candidates - candidates[values.argmin()]).abs() <= step]
        kind = 'spatial' if gradient.d is None else 'temporal'
        self.gaps[kind].append((float(gap), float(value <= near.max() + 1e-12)))


def search_gaps(**kwargs: Any) -> dict[str, list[tuple[float, float]]]:
    """Return how far the widths that A2SG chooses in a small Spikformer are from the best ones.

    Args:
        **kwargs: arguments of `A2SG`.

    Returns:
        {'spatial' or 'temporal': (gap, 1 if it is as small as within one step of the grid else 0) of each choice}. A
        gap is a share of the objective's range.
    """
    torch.manual_seed(0)
    network = MODELS.build(dict(type='Spikformer', embed_dims=128, depth=2, num_heads=8, T=4, out_indices=(0, 1, 2, 3)))
    policy = Checked(**kwargs)
    attach(network, policy)
    policy.begin(0, seed=0)
    sum((y * torch.randn_like(y)).mean() for y in network(torch.rand(4, 3, 64, 64))).backward()
    return policy.gaps


def lines() -> Iterator[str]:
    """Yield the lines of the report, each as soon as it is known."""
    torch.manual_seed(0)
    yield 'Backward pass against autograd, float64, largest relative error'
    for name, make in NEURONS.items():
        yield f'    {name:20s} {gradient_error(make):.1e}'
    yield f'\nObjective at the chosen width above that at the best of {FINE} widths, as a share of its range over the'
    yield 'space, and share of choices that are as good as the widths within one grid step of the best'
    yield f'    {"":34s}{"spatial":>28s}{"temporal":>28s}'
    yield f'    {"":34s}' + f'{"median":>9s}{"largest":>9s}{"in step":>10s}' * 2
    settings: dict[str, dict[str, Any]] = {
        'exact, all elements': dict(searcher=dict(type='ExactSearcher'), sample=None),
        'exact, sample of 65,536': dict(searcher=dict(type='ExactSearcher')),
        'exact, sample of 8,192': dict(searcher=dict(type='ExactSearcher'), sample=8192),
        'TPE of 16 trials, all elements': dict(searcher=dict(type='TPESearcher', trials=16), sample=None),
        'TPE of 16 trials, sample of 65,536': dict(searcher=dict(type='TPESearcher', trials=16)),
    }
    for name, kwargs in settings.items():
        gaps = map(torch.tensor, search_gaps(**kwargs).values())
        yield (
            f'    {name:34s}'
            + ''.join(f'{g[:, 0].median():9.5f}{g[:, 0].max():9.5f}{g[:, 1].mean():10.1%}' for g in gaps)
        )
    for title, rows in exactness.tables():
        yield f'\n{title}\n\n{table(rows)}'.rstrip('\n')
