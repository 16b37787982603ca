"""How the Hessian of a spiking network grows as the window narrows, against the same network with ReLUs.

The claim: for a symmetric window of fixed area, whose height grows as 1 / beta and whose slope as 1 / beta^2, the
Hessian grows as 1 / beta^2, and that of a ReLU network does not know of beta. Here both are one multilayer perceptron
with the same weights and samples; all that varies is beta. The Hessian is that of the hidden layers' parameters, for
the readout's own block does not know of beta either. The exponent p of |lambda| ~ beta^-p is fitted to the spectral
norm by least squares in log-log.

What to expect: one spike brings f' ~ 1 / beta^2, but the share of elements in the window shrinks as beta, and every
further layer brings another f ~ 1 / beta. So 2 is no law of its own; the exponent grows with depth. BOX has f' = 0.

Source of the claim: A2SG (ICML 2026, arXiv 2606.11236). The Hessian meant is the chain rule's ('surrogate', see
`a2sg_zoo.analysis.measures.hessian`).
"""

from dataclasses import dataclass

import torch
from torch import nn

from a2sg_zoo.analysis.measures.hessian import hessian_spectrum
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.neurons import LIF


@dataclass(frozen=True)
class Growth:
    """Attributes:
    betas: windows.
    snn: spectral norm of the spiking network's Hessian for each window.
    relu: that of the ReLU network's, which has no window.
    exponent: p in snn ~ beta^-p, fitted.
    local: exponents between neighbouring windows.
    """

    betas: tuple
    snn: tuple
    relu: float
    exponent: float
    local: tuple


class Perceptron(nn.Module):
    """Linear layers with an activation between them, over T steps with the same input. Logits (B, classes).

    Args:
        widths: inputs, hidden layers, classes.
        neuron: makes a layer of neurons; None for ReLUs.
        T: time steps, without effect for ReLUs.
    """

    def __init__(self, widths, neuron=None, T=4):
        super().__init__()
        self.T = T
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.activations = nn.ModuleList(neuron() if neuron else nn.ReLU() for _ in widths[2:])

    def forward(self, x):
        x = x.expand(self.T, *x.shape)
        for layer, activation in zip(self.layers, self.activations):
            x = activation(layer(x))
        return self.layers[-1](x).mean(0)


def _loss(model, inputs, targets):
    return nn.functional.cross_entropy(model(inputs), targets)


def hessian_growth(
    surrogate,
    inputs,
    targets,
    betas=(0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8),
    hidden=(64, 64),
    T=4,
    gain=2.0,
    seed=0,
    steps=60,
):
    """Spectral norms of the Hessians over windows, in float64.

    Args:
        surrogate: class of a shape that takes `beta`: `TRI` or `BOX`, of area 1 by default.
        inputs, targets: (N, features), labels (N,).
        betas: windows, in units of the threshold.
        hidden: widths of the hidden layers.
        T: time steps.
        gain: factor on PyTorch's initial weights, so that potentials come near the threshold.
        seed: of the weights.
        steps: of Lanczos.

    Returns:
        Growth.
    """
    widths = (inputs.shape[1], *hidden, int(targets.max()) + 1)
    batches = [(inputs.double(), targets)]

    def norm(neuron):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Perceptron(widths, neuron, T).double()
        with torch.no_grad():
            for layer in model.layers[:-1]:
                layer.weight.mul_(gain)
        hidden = [name for name, _ in model.named_parameters() if not name.startswith(f'layers.{len(widths) - 2}.')]
        found = hessian_spectrum(Objective(model, batches, _loss, hidden), steps=steps, seed=seed)
        return max(abs(found.largest), abs(found.smallest))

    snn = [norm(lambda beta=beta: LIF(surrogate=surrogate(beta=beta), decay_input=False)) for beta in betas]
    if not all(snn):
        raise A2SGError(
            f'no potential lies within {betas[snn.index(0)]:g} of the threshold, so the Hessian is 0; take '
            'wider windows, a larger gain, or more samples'
        )
    logs, x = torch.tensor(snn, dtype=torch.float64).log(), -torch.tensor(betas, dtype=torch.float64).log()
    centred = x - x.mean()
    exponent = float(centred @ (logs - logs.mean()) / centred.square().sum())
    local = ((logs[1:] - logs[:-1]) / (x[1:] - x[:-1])).tolist()
    return Growth(tuple(betas), tuple(snn), norm(None), exponent, tuple(local))
