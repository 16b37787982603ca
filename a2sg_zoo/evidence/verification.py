"""The figures behind the claims of exactness: what `a2sg-zoo verify` prints."""

import itertools
from collections.abc import Iterator

import torch

from a2sg_zoo.adaptation import A2SG, DirectObjective, PolicyController, attach
from a2sg_zoo.analysis.tables import table
from a2sg_zoo.evidence import exactness
from a2sg_zoo.neurons import IF, LIF, PLIF, LocalGradient, multistep_reference
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


def gradient_error(make, T=8):
    """Largest relative error (max norm) over resets, reset potentials and shapes, of dL/dx and parameters."""
    worst = 0.0
    for reset, detach, v_reset, shape in itertools.product(['hard', 'soft'], [True, False], [0.0, -0.3], SHAPES):
        neuron = make(surrogate=shape, reset=reset, detach_reset=detach, v_reset=v_reset).double()
        neuron.beta = torch.rand(T, dtype=torch.float64) + 0.3
        x = (torch.randn(T, 16, 32, dtype=torch.float64) + 0.5).requires_grad_()
        cotangent = torch.randn_like(x)
        wanted = [x, *neuron.parameters()]
        ours = torch.autograd.grad((neuron(x) * cotangent).sum(), wanted)
        reference = multistep_reference(x, neuron.rate, neuron.dynamics, shape, neuron.beta)
        for a, b in zip(ours, torch.autograd.grad((reference * cotangent).sum(), wanted)):
            worst = max(worst, float((a - b).abs().max() / b.abs().max()))
    return worst


class CheckedController(PolicyController):
    """A controller that compares each of its choices with brute force on all elements of the layer."""

    def choose(self, gradients):
        widths = super().choose(gradients)

        def shape(t, gradient):
            self.policy.check(self.neuron, gradient, widths[t])
            return self.surrogate(gradient.z, widths[t])

        gradients.scan(shape)
        return widths


class Checked(A2SG):
    """A2SG without its guard against starving, which compares each of its choices with brute force."""

    def __init__(self, **kwargs):
        super().__init__(min_inside=0, **kwargs)
        self.gaps = {'spatial': [], 'temporal': []}

    def controller(self, neuron):
        return CheckedController(self, neuron)

    def check(self, neuron, gradient, width):
        """Notes by how much the objective at this width exceeds the least one."""
        if width == self.surrogate.beta:  # no candidate had a value
            return
        fine = torch.linspace(float(self.grid[0]), float(self.grid[-1]), FINE, dtype=torch.float64)
        chosen = torch.cat([fine * neuron.v_threshold, width.double()[None]])
        values = DirectObjective(self.surrogate, chosen.sort().values, LocalGradient(*gradient)).curve()
        order = chosen.argsort()
        value = values[(order == FINE).nonzero().item()]
        finite = values[values.isfinite()]
        gap = (value - finite.min()) / (finite.max() - finite.min())
        # what the best point of a grid may cost: the worst value within one of its steps of the true optimum
        step = (self.grid[1] - self.grid[0]) * neuron.v_threshold
        candidates = chosen.sort().values
        near = values[(candidates - candidates[values.argmin()]).abs() <= step]
        kind = 'spatial' if gradient.d is None else 'temporal'
        self.gaps[kind].append((float(gap), float(value <= near.max() + 1e-12)))


def search_gaps(**kwargs):
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
    yield f'\nObjective at the chosen window above the best of {FINE} windows, as a share of its range over the space,'
    yield 'and how many choices are as good as the windows within one grid step of the best'
    yield f'    {"":34s}{"spatial":>28s}{"temporal":>28s}'
    yield f'    {"":34s}' + f'{"median":>9s}{"largest":>9s}{"in step":>10s}' * 2
    for name, kwargs in {
        'exact, all elements': dict(searcher=dict(type='ExactSearcher'), sample=None),
        'exact, sample of 65,536': dict(searcher=dict(type='ExactSearcher')),
        'exact, sample of 8,192': dict(searcher=dict(type='ExactSearcher'), sample=8192),
        'TPE of 16 trials, all elements': dict(searcher=dict(type='TPESearcher', trials=16), sample=None),
        'TPE of 16 trials, sample of 65,536': dict(searcher=dict(type='TPESearcher', trials=16)),
    }.items():
        gaps = map(torch.tensor, search_gaps(**kwargs).values())
        yield (
            f'    {name:34s}'
            + ''.join(f'{g[:, 0].median():9.5f}{g[:, 0].max():9.5f}{g[:, 1].mean():10.1%}' for g in gaps)
        )
    for title, rows in exactness.tables():
        yield f'\n{title}\n\n{table(rows)}'.rstrip('\n')
