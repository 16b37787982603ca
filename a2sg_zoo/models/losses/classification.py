"""What to minimise when there is one vector of logits for each time step."""

import torch.nn.functional as F
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import MODELS


def _share(name, value, owner):
    """A number from 0 to 1 as given, or a ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f'{type(owner).__name__}: {name} must be a number from 0 to 1, got {value!r}')
    return float(value)


@MODELS.register_module()
class MeanCrossEntropy(nn.Module):
    """The cross entropy of the logits' mean over time: L = CE(mean_t z[t], y).

    Called with logits z (T, B, classes) and a target y: labels (B,), or probabilities (B, classes). Gives a scalar.

    Args:
        label_smoothing: epsilon in (1 - epsilon) y + epsilon / classes.
    """

    def __init__(self, label_smoothing=0.0):
        super().__init__()
        self.label_smoothing = _share('label_smoothing', label_smoothing, self)

    def forward(self, logits, target):
        return F.cross_entropy(logits.mean(0), target, label_smoothing=self.label_smoothing)


@MODELS.register_module()
class TET(nn.Module):
    """Temporal efficient training: every time step must be right by itself, and no logit may run away.

        L = (1 - lambda) mean_t CE(z[t], y) + lambda mean (z - v_threshold)^2

    Called with logits z (T, B, classes) and a target y: labels (B,), or probabilities (B, classes). Gives a scalar.

    Args:
        regularization: lambda; 0.05 for CIFAR and 0.001 for other data in the paper.
        v_threshold: what the logits are drawn to.
        label_smoothing: epsilon in (1 - epsilon) y + epsilon / classes.

    Source: Deng et al., ICLR 2022.
    """

    def __init__(self, regularization=0.05, v_threshold=1.0, label_smoothing=0.0):
        super().__init__()
        self.regularization = _share('regularization', regularization, self)
        self.label_smoothing = _share('label_smoothing', label_smoothing, self)
        self.v_threshold = v_threshold

    def forward(self, logits, target):
        steps = target.expand(len(logits), *target.shape).flatten(0, 1)
        entropy = F.cross_entropy(logits.flatten(0, 1), steps, label_smoothing=self.label_smoothing)
        spread = (logits - self.v_threshold).square().mean()
        return (1 - self.regularization) * entropy + self.regularization * spread
