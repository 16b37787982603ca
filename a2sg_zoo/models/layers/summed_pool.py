"""Max pooling over sums of currents, which time steps do not change."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2sg_zoo.utils.checks import integer


class SummedMaxPool2d(nn.Module):
    """Max pooling of the currents summed over time, given out step by step.

        y[t] = maxpool(x[1] + ... + x[t]) - maxpool(x[1] + ... + x[t-1])

    The outputs of all time steps add up to the largest sum, so an integrating neuron behind it receives what it would
    receive from all currents at once. The largest current of each time step, in contrast, adds up to more. For T = 1
    both are the same.

    Args:
        kernel_size: height and width of the windows, which do not overlap, in pixels.

    >>> import torch
    >>> pool, x = SummedMaxPool2d(2), torch.rand(4, 1, 3, 8, 8)
    >>> torch.allclose(pool(x).sum(0), torch.nn.functional.max_pool2d(x.sum(0), 2))
    True
    """

    def __init__(self, kernel_size: int = 2) -> None:
        super().__init__()
        self.kernel_size = integer('kernel_size', kernel_size, self)

    def forward(self, x: Tensor) -> Tensor:
        """Map currents (T, B, C, H, W) to currents (T, B, C, H / kernel_size, W / kernel_size)."""
        return self.advance(x)[0]

    def advance(self, x: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Continue from a state.

        Args:
            x: currents (T, B, C, H, W).
            state: (sums of the currents so far, their maxima), from the call before; None at the first time step.

        Returns:
            (currents as from `forward`, state after the last time step).
        """
        wide = torch.promote_types(x.dtype, torch.float32)  # half precision would round the sums
        zero = x.new_zeros((), dtype=wide)
        sums, before = state or (zero, zero)
        y = []
        for step in x:  # one by one: cumsum over time gives up channels_last
            sums = sums + step.to(wide)
            pooled = F.max_pool2d(sums, self.kernel_size)
            y.append(pooled - before)
            before = pooled
        return torch.stack(y).to(x.dtype), (sums, before)

    def extra_repr(self) -> str:
        return f'kernel_size={self.kernel_size}'
