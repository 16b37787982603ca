"""How the Hessian of a spiking network grows when the surrogate's window becomes narrow, compared with a ReLU network.

The claim: a symmetric window of fixed area has a height of 1 / beta and a slope of 1 / beta^2, so the Hessian grows as
1 / beta^2. The Hessian of a ReLU network does not depend on beta.

Here both networks are one multilayer perceptron with the same weights and samples, and only beta changes. The Hessian
is with respect to the parameters of the hidden layers, because the block of the last layer does not depend on beta. The
exponent p of |lambda| ~ beta^-p is fitted to the spectral norm by least squares of the logarithms.

What to expect: one spike contributes f' ~ 1 / beta^2, the share of elements in the window shrinks with beta, and every
further layer contributes another f ~ 1 / beta. So the exponent is not 2 in general; it grows with depth. BOX has
f' = 0.

Source of the claim: A2SG (ICML 2026, arXiv 2606.11236). The Hessian is that of the chain rule (kind 'surrogate', see
`a2sg_zoo.analysis.measures.hessian`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from a2sg_zoo.analysis.measures.hessian import hessian_spectrum
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.neurons import LIF
from a2sg_zoo.surrogates import Surrogate


@dataclass(frozen=True)
class Growth:
    """Spectral norms of the Hessian for several widths.

    Attributes:
        betas: widths.
        snn: spectral norm of the spiking network's Hessian for each width.
        relu: spectral norm of the ReLU network's Hessian, which does not depend on a width.
        exponent: fitted p of snn ~ beta^-p.
        local: exponents between neighbouring widths.
    """

    betas: tuple[float, ...]
    snn: tuple[float, ...]
    relu: float
    exponent: float
    local: tuple[float, ...]


class Perceptron(nn.Module):
    """Linear layers with activations between them; the input is the same in all T time steps.

    Args:
        widths: number of inputs, units of the hidden layers, number of classes.
        neuron: returns a new layer of neurons; None for ReLUs.
        T: number of time steps; it has no effect with ReLUs.
    """

    def __init__(self, widths: Sequence[int], neuron: Callable[[], nn.Module] | None = None, T: int = 4):
        super().__init__()
        self.T = T
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.activations = nn.ModuleList(neuron() if neuron else nn.ReLU() for _ in widths[2:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (B, inputs) to logits (B, classes), the mean over time."""
        x = x.expand(self.T, *x.shape)
        for layer, activation in zip(self.layers, self.activations):
            x = activation(layer(x))
        return self.layers[-1](x).mean(0)


def _loss(model, inputs, targets):
    return nn.functional.cross_entropy(model(inputs), targets)


def hessian_growth(
    surrogate: Callable[..., Surrogate],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    betas: Sequence[float] = (0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8),
    hidden: Sequence[int] = (64, 64),
    T: int = 4,
    gain: float = 2.0,
    seed: int = 0,
    steps: int = 60,
) -> Growth:
    """Compute the spectral norm of the Hessian for several widths, in float64.

    Args:
        surrogate: class of a shape that takes `beta`: `TRI` or `BOX`, which have area 1 by default.
        inputs: (N, features).
        targets: labels (N,).
        betas: widths, in units of the threshold.
        hidden: units of the hidden layers.
        T: number of time steps.
        gain: factor on PyTorch's initial weights, so that potentials come near the threshold.
        seed: seed of the weights.
        steps: largest number of Lanczos steps.

    Raises:
        A2SGError: the Hessian is 0 for one of the widths.
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
            f'no membrane potential lies within {betas[snn.index(0)]:g} of the threshold, so the Hessian is 0; use '
            'larger widths, a larger gain, or more samples'
        )
    logs, x = torch.tensor(snn, dtype=torch.float64).log(), -torch.tensor(betas, dtype=torch.float64).log()
    centred = x - x.mean()
    exponent = float(centred @ (logs - logs.mean()) / centred.square().sum())
    local = ((logs[1:] - logs[:-1]) / (x[1:] - x[:-1])).tolist()
    return Growth(tuple(betas), tuple(snn), norm(None), exponent, tuple(local))
