"""Losses on membrane potentials, which other groups' methods add to the loss of the task.

Each loss takes a list of pairs (neuron, u), one for each layer of neurons: u (T, B, ...) is the membrane potential,
connected to the graph of the backward pass. `a2sg_zoo.neurons.recorded_potentials` makes such a list, and the hook
`MembraneLoss` adds one of these losses to a training run. Potentials are divided by the neuron's v_threshold, because
the papers use a threshold of 1.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import Neuron
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import positive

Potentials = Sequence[tuple[Neuron, torch.Tensor]]


@MODELS.register_module()
class IMLoss(nn.Module):
    """Information maximisation: L = sum over layers of (mean(u) / v_threshold - 1)^2.

    If the mean of u is the threshold and u is spread evenly around it, a spike is as likely as no spike, and a spike
    carries most information. The mean is over the neurons, samples and time steps of a layer.

    Source: Guo et al., NeurIPS 2022 (IM-Loss). The paper combines it with a surrogate that becomes steeper during
    training, `EvolvingTanh`.
    """

    def forward(self, potentials: Potentials) -> torch.Tensor:
        """Compute the loss, a scalar, of pairs (neuron, u) with u (T, B, ...)."""
        return reduce(torch.add, [(wide(u).mean() / neuron.v_threshold - 1).square() for neuron, u in potentials])


@MODELS.register_module()
class RMPLoss(nn.Module):
    """Regularisation of membrane potentials towards their quantised values: 0 without a spike, 1 with a spike.

        L = mean over layers of mean(d),    d = |u|^p where u < v_threshold, |v_threshold - u|^p elsewhere

    for v_threshold = 1, and with u / v_threshold in place of u for other thresholds. Its weight grows during training,
    see the hook `MembraneLoss`.

    The paper gives the two branches and p. It is this project's reconstruction that every layer has the same weight,
    whatever its size.

    Args:
        p: exponent, 1 or 2.

    Raises:
        ConfigError: p is another number.

    Source: Guo et al., ICCV 2023 (RMP-Loss, arXiv 2308.06787).
    """

    def __init__(self, p: int = 2):
        super().__init__()
        if p not in (1, 2):
            raise ConfigError(f'RMPLoss: p must be 1 or 2, got {p!r}')
        self.p = p

    def forward(self, potentials: Potentials) -> torch.Tensor:
        """Compute the loss, a scalar, of pairs (neuron, u) with u (T, B, ...)."""
        return reduce(torch.add, [self._layer(wide(u) / neuron.v_threshold) for neuron, u in potentials]) / len(
            potentials
        )

    def _layer(self, u):
        # the quantised value 0 or 1 is a constant of the branch, so no gradient flows through it
        distance = u - (u.detach() >= 1).to(u.dtype)
        return (distance.abs() if self.p == 1 else distance.square()).mean()


@MODELS.register_module()
class MembraneKL(nn.Module):
    """KL divergence between the membrane potentials of each layer, fitted by a Gaussian, and a target Gaussian.

        L = mean over layers of KL(N(m, s^2) || N(mean, std^2)),    m = mean(u) / v_threshold, s = std(u) / v_threshold
        KL = ln(std / s) + (s^2 + (m - mean)^2) / (2 std^2) - 1/2

    m and s are over the neurons, samples and time steps of a layer.

    The A2SG paper says of such methods that their loss is a KL divergence between Gaussian fits. The target and the
    pooling over a layer are this project's reconstruction.

    Args:
        mean: mean of the target, in units of v_threshold; 1 is the threshold.
        std: standard deviation of the target, in units of v_threshold; positive.
    """

    def __init__(self, mean: float = 1.0, std: float = 1.0):
        super().__init__()
        self.mean, self.std = float(mean), positive('std', std, self)

    def forward(self, potentials: Potentials) -> torch.Tensor:
        """Compute the loss, a scalar, of pairs (neuron, u) with u (T, B, ...)."""
        return reduce(torch.add, [self._layer(wide(u) / neuron.v_threshold) for neuron, u in potentials]) / len(
            potentials
        )

    def _layer(self, u):
        variance, mean = torch.var_mean(u, correction=0)
        variance = variance.clamp(min=torch.finfo(u.dtype).tiny)  # all potentials of the layer may be the same
        ratio = variance / self.std**2
        return (ratio + ((mean - self.mean) / self.std).square() - 1 - ratio.log()) / 2
