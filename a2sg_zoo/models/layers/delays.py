"""A linear layer with a learned delay at every synapse, on sequences (T, B, F)."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from a2sg_zoo.utils.checks import integer, number

# narrower kernels vanish between two taps, because of the 1e-7
MIN_SIGMA = 0.1


class DelayLinear(nn.Module):
    """A linear layer with a learned delay at every synapse.

        y_i[t] = sum_j sum_n k_ij[n] x_j[t - n],    n = 0 .. max_delay - 1,    x[t] = 0 for t < 0

    During training a synapse spreads its weight over the delays around its own, so the delay d has a gradient:

        k_ij[n] = w_ij exp(-((n - d_ij) / sigma)^2 / 2) / (1e-7 + sum_m exp(-((m - d_ij) / sigma)^2 / 2))

    Outside training every delay is rounded, and its synapse has one tap: k_ij[n] = w_ij where n = round(d_ij), else 0.
    The hook `NarrowDelays` narrows sigma during a training, so that the two kernels come closer. They still differ at
    the end: with sigma = 0.5, a synapse of a whole delay has 79 % of its weight at that delay, and a prediction all of
    it.

    Args:
        in_features: features of the input.
        out_features: features of the output.
        max_delay: number of delays, from 0 to max_delay - 1 time steps.
        sigma: width of the kernels to start from, in time steps, at least 0.1; None for max_delay // 2, but at least
            0.5.

    Attributes:
        weight: w, (out_features, in_features). Initially uniform (He et al., ICCV 2015).
        delay: d in time steps, (out_features, in_features). Initially uniform over all delays.
        sigma: the width of the kernels in force, a scalar.
        initial_sigma: the width to start from.

    Raises:
        ConfigError: an argument has a value that it cannot have.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier, ICLR 2024. Reference implementation:
    github.com/Thvnvtos/SNN-delays.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.layers import DelayLinear
        >>> layer = DelayLinear(1, 1, max_delay=4).eval()
        >>> _ = layer.weight.data.fill_(1.0), layer.delay.data.fill_(2.2)
        >>> layer(torch.tensor([1.0, 0, 0, 0, 0]).view(5, 1, 1)).flatten().tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0]
    """

    sigma: torch.Tensor

    # an output depends on several time steps, see `time_chunks`
    mixes_time = True

    def __init__(self, in_features: int, out_features: int, max_delay: int, sigma: float | None = None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.max_delay = integer('max_delay', max_delay, self)
        self.initial_sigma = max(self.max_delay // 2, 0.5) if sigma is None else number('sigma', sigma, self, MIN_SIGMA)
        bound = math.sqrt(6 / in_features)
        self.weight = nn.Parameter(torch.empty(out_features, in_features).uniform_(-bound, bound))
        self.delay = nn.Parameter(torch.empty(out_features, in_features).uniform_(0, self.max_delay - 1))
        self.register_buffer('sigma', torch.tensor(float(self.initial_sigma)))

    def kernel(self) -> torch.Tensor:
        """Return k, (out_features, in_features, max_delay)."""
        taps = torch.arange(self.max_delay, device=self.delay.device)
        # a delay outside of the range counts as that at its end, and its gradient can lead it back
        delay = self.delay + (self.delay.detach().clamp(0, self.max_delay - 1) - self.delay.detach())
        if self.training:
            share = (-((taps - delay.unsqueeze(2)) / self.sigma).square() / 2).exp()
            share = share / (share.sum(2, keepdim=True) + 1e-7)
        else:
            share = (taps == delay.round().unsqueeze(2)).to(self.weight.dtype)
        return self.weight.unsqueeze(2) * share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, in_features) to (T, B, out_features)."""
        x = F.pad(x.permute(1, 2, 0), (self.max_delay - 1, 0))
        return F.conv1d(x, self.kernel().flip(2)).permute(2, 0, 1)

    def extra_repr(self) -> str:
        """Return the sizes, for `print(model)`."""
        return f'{self.in_features}, {self.out_features}, max_delay={self.max_delay}'


def delay_layers(model: nn.Module) -> Iterator[DelayLinear]:
    """Yield the layers with delays of a network."""
    return (module for module in model.modules() if isinstance(module, DelayLinear))
