"""Losses of a classifier that gives one vector of logits for each time step."""

import torch
import torch.nn.functional as F
from torch import nn

from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import number


@MODELS.register_module()
class MeanCrossEntropy(nn.Module):
    """Cross entropy of the mean of the logits over time: L = CE(mean_t z[t], y).

    Args:
        label_smoothing: epsilon in (1 - epsilon) y + epsilon / classes, from 0 to 1.

    Raises:
        ConfigError: label_smoothing is not a number from 0 to 1.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.losses import MeanCrossEntropy
        >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])  # (T, B, classes)
        >>> round(float(MeanCrossEntropy()(logits, torch.tensor([0]))), 4)  # ln 2
        0.6931
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing = number('label_smoothing', label_smoothing, self, 0, 1)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            logits: (T, B, classes).
            target: labels (B,), integers, or probabilities (B, classes).

        Returns:
            A scalar.
        """
        return F.cross_entropy(logits.mean(0), target, label_smoothing=self.label_smoothing)


@MODELS.register_module()
class TET(nn.Module):
    """Temporal efficient training: the logits of every time step must be right, and they stay close to the threshold.

        L = (1 - lambda) mean_t CE(z[t], y) + lambda mean (z - v_threshold)^2

    Args:
        regularization: lambda, from 0 to 1; the paper uses 0.05 for CIFAR and 0.001 for other data.
        v_threshold: value that the second term draws the logits to.
        label_smoothing: epsilon in (1 - epsilon) y + epsilon / classes, from 0 to 1.

    Raises:
        ConfigError: an argument is no number, or regularization or label_smoothing is not from 0 to 1.

    Source: Deng et al., ICLR 2022.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.losses import TET
        >>> loss = TET(regularization=0.0)
        >>> logits = torch.zeros(4, 2, 10)  # (T, B, classes)
        >>> round(float(loss(logits, torch.tensor([3, 7]))), 4)  # ln 10
        2.3026
    """

    def __init__(self, regularization: float = 0.05, v_threshold: float = 1.0, label_smoothing: float = 0.0):
        super().__init__()
        self.regularization = number('regularization', regularization, self, 0, 1)
        self.label_smoothing = number('label_smoothing', label_smoothing, self, 0, 1)
        self.v_threshold = number('v_threshold', v_threshold, self)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            logits: (T, B, classes).
            target: labels (B,), integers, or probabilities (B, classes).

        Returns:
            A scalar.
        """
        steps = target.expand(len(logits), *target.shape).flatten(0, 1)
        entropy = F.cross_entropy(logits.flatten(0, 1), steps, label_smoothing=self.label_smoothing)
        spread = (logits - self.v_threshold).square().mean()
        return (1 - self.regularization) * entropy + self.regularization * spread


@MODELS.register_module()
class RateMSE(nn.Module):
    """Squared error between the mean of the outputs over time and the one-hot target: L = mean (mean_t z[t] - y)^2.

    For outputs that are firing rates from 0 to 1, such as those of `VotingHead`.

    Source: Fang et al., ICCV 2021.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.losses import RateMSE
        >>> rates = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])  # (T, B, classes)
        >>> float(RateMSE()(rates, torch.tensor([0])))  # ((0.5 - 1)^2 + 0) / 2
        0.125
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            logits: rates (T, B, classes).
            target: labels (B,), integers, or probabilities (B, classes).

        Returns:
            A scalar.
        """
        rates = logits.mean(0)
        if target.dim() == 1:
            target = F.one_hot(target, rates.shape[1])
        return F.mse_loss(rates, target.to(rates.dtype))
