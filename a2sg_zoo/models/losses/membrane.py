"""Losses on membrane potentials, which other groups add to that of the task.

Called with [(neuron, u), ...] of all layers, u (T, B, ...) in the graph (see `a2sg_zoo.neurons.recorded_potentials`);
each gives a scalar. Potentials are in the unit of the neuron's v_threshold, which the papers have at 1. `MembraneLoss`
is the hook that adds one to a training.
"""

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import MODELS
from a2sg_zoo.surrogates.base import positive


def _wide(u):
    return u.float() if u.dtype in (torch.float16, torch.bfloat16) else u


@MODELS.register_module()
class IMLoss(nn.Module):
    """Information maximisation: L = sum over layers of (mean(u) / v_threshold - 1)^2.

    With the mean of u at the threshold, and u spread evenly about it, a spike is as likely as none, and tells most. The
    mean runs over a layer's neurons, samples and time steps.

    Source: Guo et al., NeurIPS 2022 (IM-Loss). The paper has it with a surrogate that steepens, `EvolvingTanh`.
    """

    def forward(self, potentials):
        return sum((_wide(u).mean() / neuron.v_threshold - 1).square() for neuron, u in potentials)


@MODELS.register_module()
class RMPLoss(nn.Module):
    """Regularising membrane potentials towards what quantisation makes of them: 0 without a spike, 1 with one.

        L = mean over layers of mean(|u|^p where u < v_threshold, |v_threshold - u|^p elsewhere)    at v_threshold = 1

    and with u / v_threshold in place of u otherwise. Its weight grows with the training, see `MembraneLoss`.

    Certain: the two branches and p. A reconstruction: that each layer counts alike, whatever its size.

    Args:
        p: 1 or 2.

    Source: Guo et al., ICCV 2023 (RMP-Loss, arXiv 2308.06787).
    """

    def __init__(self, p=2):
        super().__init__()
        if p not in (1, 2):
            raise ConfigError(f'RMPLoss: p must be 1 or 2, got {p!r}')
        self.p = p

    def forward(self, potentials):
        return sum(self._of(_wide(u) / neuron.v_threshold) for neuron, u in potentials) / len(potentials)

    def _of(self, u):
        # the distance to the spike, which is a constant of the branch
        distance = u - (u.detach() >= 1).to(u.dtype)
        return (distance.abs() if self.p == 1 else distance.square()).mean()


@MODELS.register_module()
class MembraneKL(nn.Module):
    """KL divergence of each layer's membrane potentials, as a Gaussian, from a target about the threshold.

        L = mean over layers of KL(N(m, s^2) || N(mean, std^2)),    m = mean(u) / v_threshold, s = std(u) / v_threshold
        KL = ln(std / s) + (s^2 + (m - mean)^2) / (2 std^2) - 1/2

    Mean and variance run over a layer's neurons, samples and time steps.

    A reconstruction: that the loss is a KL divergence between Gaussian fits is what the A2SG paper says of such
    methods; target and pooling are this project's.

    Args:
        mean: of the target, in units of v_threshold; 1 is the threshold.
        std: of the target, in the same unit.
    """

    def __init__(self, mean=1.0, std=1.0):
        super().__init__()
        self.mean, self.std = float(mean), positive('std', std, self)

    def forward(self, potentials):
        return sum(self._of(_wide(u) / neuron.v_threshold) for neuron, u in potentials) / len(potentials)

    def _of(self, u):
        variance, mean = torch.var_mean(u, correction=0)
        variance = variance.clamp(min=torch.finfo(u.dtype).tiny)  # a layer of which nothing varies
        ratio = variance / self.std**2
        return (ratio + ((mean - self.mean) / self.std).square() - 1 - ratio.log()) / 2
