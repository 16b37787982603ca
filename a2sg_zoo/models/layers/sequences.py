"""Layers for sequences (T, B, F): checked input, projections, and dropout with one mask for all time steps."""

from collections import OrderedDict

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.time_folded import TimeFolded
from a2sg_zoo.utils.checks import number


def check_sequence(x: torch.Tensor, in_features: int, T: int) -> torch.Tensor:
    """Return a batch of sequences that fits the network.

    Args:
        x: sequences (T, B, F), time first.
        in_features: features F that the network takes.
        T: number of time steps of the network.

    Raises:
        ConfigError: x has another number of dimensions, features or time steps than the network takes.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.layers import check_sequence
        >>> check_sequence(torch.rand(64, 2, 1), in_features=1, T=64).shape
        torch.Size([64, 2, 1])
    """
    if x.dim() != 3:
        raise ConfigError(
            f'this network takes sequences (T, B, F), got shape {tuple(x.shape)}; a batch of the data set must be '
            '(B, T, F)'
        )
    if x.shape[2] != in_features:
        raise ConfigError(
            f'the network takes in_features = {in_features}, but a time step of the data has {x.shape[2]} features '
            f"(shape {tuple(x.shape)}); set the backbone's in_features"
        )
    if len(x) != T:
        raise ConfigError(
            f'the network runs T = {T} time steps, but the sequences have {len(x)}; '
            "make the length of the data set's sequences and the backbone's T agree"
        )
    return x


NORMS = ('batch', 'layer', None)


def linear_norm(in_features: int, out_features: int, norm: str | None = 'batch') -> TimeFolded:
    """Make a linear layer and a norm on (T, B, F), the children `linear` and `norm` of a `TimeFolded`.

    Args:
        in_features: features of the input.
        out_features: features of the output.
        norm: 'batch' normalises each feature over batch and time, 'layer' the features of each sample and time step,
            and None is a linear layer with a bias and no norm.

    Raises:
        ConfigError: `norm` is another value.
    """
    linear = nn.Linear(in_features, out_features, bias=norm is None)
    return TimeFolded(OrderedDict[str, nn.Module](linear=linear, norm=make_norm(norm, out_features)))


def make_norm(norm: str | None, features: int) -> nn.Module:
    """Make the norm of (T * B, features) that `norm` names: 'batch', 'layer', or None for the identity.

    Raises:
        ConfigError: `norm` is another value.
    """
    if norm not in NORMS:
        raise ConfigError(f"norm must be 'batch', 'layer' or None, got {norm!r}")
    kinds = {'batch': nn.BatchNorm1d, 'layer': nn.LayerNorm, None: nn.Identity}
    return kinds[norm](features)


class SequenceDropout(nn.Module):
    """Dropout that drops a feature of a sample at all time steps: y[t] = x[t] m / (1 - rate), m = 0 or 1 for all t.

    Args:
        rate: probability that a feature is dropped, from 0 to below 1.

    Raises:
        ConfigError: `rate` is no such number.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.layers import SequenceDropout
        >>> y = SequenceDropout(0.5)(torch.ones(3, 4, 100))
        >>> sorted(y.unique().tolist()), y[0].equal(y[2])
        ([0.0, 2.0], True)
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = number('dropout', rate, self, 0, 1, below_high=True)

    @property
    def mixes_time(self) -> bool:
        """Whether the layer drops something at all time steps at once, see `time_chunks`."""
        return self.training and self.rate > 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, ...) to the same shape; outside training, x is returned as it is."""
        if not self.training or not self.rate:
            return x
        return x * nn.functional.dropout(torch.ones_like(x[0]), self.rate)

    def extra_repr(self) -> str:
        """Return the rate, for `print(model)`."""
        return f'rate={self.rate}'
