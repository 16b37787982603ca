"""The integer neuron: counts of spikes in training, which are spikes in as many more time steps in inference."""

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.surrogates.base import positive


class _Count(torch.autograd.Function):
    """round(clip(x, 0, levels)), with gradient 1 on 0 <= x <= levels, both ends included.

    The ends matter: an attention that no key answers is exactly 0. (`clamp` leaves them out in some versions of torch.)
    """

    @staticmethod
    def forward(ctx, x, levels):
        ctx.save_for_backward(x)
        ctx.levels = levels
        return x.clamp(0, levels).round()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ((x >= 0) & (x <= ctx.levels)), None


@NEURONS.register_module()
class ILIF(nn.Module):
    """Integer leaky integrate and fire: (T, B, ...) of currents in, counts over `levels` out.

        u[t] = decay v[t-1] + x[t]
        n[t] = round(clip(u[t] / v_threshold, 0, levels))
        v[t] = u[t] - v_threshold n[t]
        s[t] = n[t] / levels

    A count of n stands for n spikes in the `levels` time steps that inference runs for one of training. The gradient
    of rounding is that of the identity, and zero beyond the clip; the reset is taken for a constant. There is no window
    to adapt, so policies pass this neuron by.

    Args:
        levels: D, the largest count.
        decay: of the membrane potential from one step to the next; without effect for T = 1.
        v_threshold: membrane potential that makes one count.

    Source: Luo et al., ECCV 2024 (I-LIF, with decay 0.25); division by D as in Yao et al., 2024 (arXiv 2411.16061),
    whose networks for still images run T = 1.
    """

    def __init__(self, levels=4, decay=0.25, v_threshold=1.0):
        super().__init__()
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
            raise ConfigError(f'ILIF: levels must be an integer >= 1, got {levels!r}')
        if not 0 <= decay <= 1:
            raise ConfigError(f'ILIF: decay must lie in [0, 1], got {decay!r}')
        self.levels, self.decay, self.v_threshold = levels, float(decay), positive('v_threshold', v_threshold, self)

    def forward(self, x):
        if x.dim() < 2:
            raise ValueError(f'ILIF takes (T, B, ...), got a tensor of shape {tuple(x.shape)}')
        counts, v = [], None
        for current in x:
            u = current if v is None else self.decay * v + current
            n = _Count.apply(u / self.v_threshold, self.levels)
            v = u - self.v_threshold * n.detach()
            counts.append(n)
        return torch.stack(counts) / self.levels

    def extra_repr(self):
        return f'levels={self.levels}, decay={self.decay}, v_threshold={self.v_threshold}'
