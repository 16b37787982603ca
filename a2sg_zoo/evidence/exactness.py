"""The measures against references: dense matrices, and the counts of another project."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2sg_zoo.analysis.measures.energy import measure_energy
from a2sg_zoo.analysis.measures.fisher import WHOLE, fisher_spectrum
from a2sg_zoo.analysis.measures.growth import Perceptron
from a2sg_zoo.analysis.measures.hessian import Hessian, hessian_spectrum, hessian_trace
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.models.layers import TimeFolded, encode
from a2sg_zoo.neurons import IF, LIF
from a2sg_zoo.surrogates import TRI

Row = dict[str, Any]

_T = 4


def curvature_rows(samples: int = 40, widths: Sequence[int] = (8, 16, 12, 4), seed: int = 0) -> list[Row]:
    """Compare Fisher and Hessian of a spiking perceptron with dense matrices.

    Automatic differentiation gives the dense Hessian, of the same network with s + P(u) - P(u) in place of its spikes
    s, where P' = f and the second P(u) is a constant. The dense Fisher is formed from the gradients of that network.

    Args:
        samples: number of inputs.
        widths: neurons in each layer of the perceptron.
        seed: seed of inputs and weights.

    Returns:
        Rows with measure, way, value, dense, and relative error.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.randn(samples, widths[0], dtype=torch.float64)
        model = Perceptron(widths, lambda: LIF(surrogate=TRI(), decay_input=False), _T).double()
    with torch.no_grad():
        for layer in list(model.layers)[:-1]:
            layer.get_parameter('weight').mul_(3)
    y = torch.arange(samples) % widths[-1]
    objective = Objective(model, [(x, y)], lambda model, x, y: F.cross_entropy(model(x), y))

    def loss(w, x=x, y=y):
        return F.cross_entropy(_straight_through(x, objective.split(w)), y)

    w = nn.utils.parameters_to_vector(objective.parameters).detach()
    H = torch.autograd.functional.hessian(loss, w)
    rows = [
        torch.autograd.functional.jacobian(lambda w, n=n: loss(w, x[n : n + 1], y[n : n + 1]), w)
        for n in range(samples)
    ]
    eigenvalues, J = torch.linalg.eigvalsh(H), torch.stack(rows)
    largest = float(torch.linalg.eigvalsh(J.T @ J / samples)[-1])
    spectrum = hessian_spectrum(objective, steps=60, tolerance=1e-9)
    v = torch.randn(objective.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mean, error = hessian_trace(objective, vectors=200)
    found = [
        ('largest Fisher eigenvalue', 'Gram matrix', fisher_spectrum(objective, 'gram').eigenvalues[WHOLE], largest),
        (
            'largest Fisher eigenvalue',
            'power iteration',
            fisher_spectrum(objective, 'power', tolerance=1e-9, iterations=500).eigenvalues[WHOLE],
            largest,
        ),
        ('largest Hessian eigenvalue', f'Lanczos, {spectrum.steps} steps', spectrum.largest, float(eigenvalues[-1])),
        ('smallest Hessian eigenvalue', f'Lanczos, {spectrum.steps} steps', spectrum.smallest, float(eigenvalues[0])),
        ('|H v| for a random v', 'one product', float(Hessian(objective).product(v).norm()), float((H @ v).norm())),
        (f'Hessian trace (standard error {error / abs(mean):.1%})', '200 random vectors', mean, float(H.trace())),
    ]
    return [
        {
            'measure': measure,
            'way': way,
            'value': value,
            'dense': dense,
            'relative error': f'{abs(value - dense) / abs(dense):.1e}',
        }
        for measure, way, value, dense in found
    ]


def _straight_through(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The logits of `Perceptron` with TRI, beta = 1, written out, from weight and bias of each layer in turn."""
    x = x.expand(_T, *x.shape)
    *hidden, (weight, bias) = zip(weights[::2], weights[1::2])
    for hidden_weight, hidden_bias in hidden:
        v, spikes = 0, []
        for current in F.linear(x, hidden_weight, hidden_bias):
            u = v / 2 + current
            inside = (u - 1).clamp(-1, 1)
            primitive = inside - inside * inside.abs() / 2
            s = (u >= 1).to(u) + primitive - primitive.detach()
            v = u * (1 - s.detach())
            spikes.append(s)
        x = torch.stack(spikes)
    return F.linear(x, weight, bias).mean(0)


class _Chain(nn.Module):
    """Layers over (T, B, ...). The first one encodes an image."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.T, self.layers = _T, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        first: Any = self.layers[0]
        x = encode(first, x, self.T)
        for layer in self.layers[1:]:
            x = layer(x)
        return x.mean((-2, -1))


def operation_rows(seed: int = 0) -> list[Row] | None:
    """Compare the operations of small spiking networks, as counted here and by NeuroBench.

    The networks have no padding and no zeros among real inputs: NeuroBench leaves those out, and the convention here
    counts them.

    Args:
        seed: seed of inputs and weights.

    Returns:
        Rows with network, quantity, here, and NeuroBench; None if NeuroBench is not installed.

    Raises:
        A2SGError: a network does not fire, so there is nothing to compare.
    """
    try:
        from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
        from neurobench.models import TorchModel
    except ImportError:
        return None

    rows = []
    for name, kernel, widths in (('1x1 convolutions', 1, (8, 6, 4)), ('2x2 convolutions, stride 2', 2, (12, 16, 8))):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers: list[Any] = []
            channels = 3
            for width in widths:
                layers += [TimeFolded(nn.Conv2d(channels, width, kernel, kernel)), IF()]
                channels = width
            network, images = _Chain(*layers).eval(), torch.rand(4, 3, 16, 16) + 0.1
        for layer in layers[::2]:
            layer[0].weight.data *= 4
        wrapped = TorchModel(network)
        wrapped.add_activation_module(IF)
        wrapped.register_hooks()
        with torch.no_grad():
            data = images, torch.zeros(len(images))
            predictions = wrapped(images)
            theirs = SynapticOperations()(wrapped, predictions, data)
            sparsity = ActivationSparsity()(wrapped, predictions, data)
        wrapped.cleanup_hooks()
        ours = measure_energy(network, [images])
        if not ours['sops']:
            raise A2SGError(f'{name}: the network for the comparison is silent')
        dense = sum(layer['macs'] * layer['steps'] for layer in ours['layers'])
        rows += [
            dict(network=name, quantity=quantity, here=here, NeuroBench=there)
            for quantity, here, there in (
                ('SOPs (effective ACs)', round(ours['sops']), round(theirs['Effective_ACs'])),
                ('MACs (effective)', round(ours['macs']), round(theirs['Effective_MACs'])),
                ('dense operations', round(dense), round(theirs['Dense'])),
                ('sparsity of activations', ours['sparsity'], float(sparsity)),
            )
        ]
    return rows


def tables() -> list[tuple[str, list[Row]]]:
    """Return (title, rows) of every table; that of operations only if NeuroBench is installed."""
    found = [
        ('Curvature against dense matrices', curvature_rows()),
        ('Operations an image against NeuroBench', operation_rows()),
    ]
    return [(title, rows) for title, rows in found if rows]
