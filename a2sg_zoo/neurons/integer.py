"""Integer neurons: they send counts of spikes in training, which become single spikes in inference."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from a2sg_zoo.neurons.state import require_currents
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.utils.checks import integer, number, positive


class _Count(torch.autograd.Function):
    """round(clip(x, 0, levels)), with gradient 1 on 0 <= x <= levels, both ends included.

    The ends matter: an attention score is exactly 0 where no key answers. (`clamp` excludes them in some versions of
    torch.)
    """

    @staticmethod
    def forward(ctx, x, levels):
        ctx.save_for_backward(x)
        ctx.levels = levels
        return _count(x, levels)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ((x >= 0) & (x <= ctx.levels)), None


def _count(x, levels):
    return x.clamp(0, levels).round()


@NEURONS.register_module()
class ILIF(nn.Module):
    """Integer leaky integrate and fire: (T, B, ...) of currents in, counts out.

        u[t] = decay v[t-1] + x[t]
        n[t] = round(clip(u[t] / v_threshold, 0, levels))
        v[t] = u[t] - v_threshold n[t]
        s[t] = n[t] / levels    normalize=True
        s[t] = n[t]             otherwise

    A count of n stands for n spikes in the `levels` time steps that inference runs for one step of training. Rounding
    has the gradient of the identity, and gradient zero beyond the clip. The reset counts as a constant. The neuron has
    no surrogate window, so policies ignore it.

    Args:
        levels: D, the largest count.
        decay: of the membrane potential from one step to the next; without effect for T = 1.
        v_threshold: membrane potential that makes one count.
        normalize: whether counts are divided by `levels`.

    Attributes:
        unit: value of one spike in the output.

    Raises:
        ConfigError: levels or decay is out of range.

    Source: Luo et al., ECCV 2024 (I-LIF, with decay 0.25, not normalised); division by D as in Yao et al., 2024 (arXiv
    2411.16061), where networks for still images run T = 1.

    >>> import torch
    >>> ILIF(levels=4)(torch.tensor([[0.4], [1.2], [9.0]])).flatten()
    tensor([0.0000, 0.2500, 1.0000])
    """

    def __init__(self, levels: int = 4, decay: float = 0.25, v_threshold: float = 1.0, normalize: bool = True) -> None:
        super().__init__()
        self.levels, self.decay = integer('levels', levels, self), number('decay', decay, self, 0, 1)
        self.v_threshold = positive('v_threshold', v_threshold, self)
        self.unit = 1 / self.levels if normalize else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Counts times `unit`, of the shape of x, (T, B, ...)."""
        return self.advance(x)[0]

    def advance(self, x: Tensor, state: Sequence[Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs some time steps of a sequence, see `Neuron.advance`. The state is (v,)."""
        require_currents(self, x)
        # where no gradient is recorded, plain operations that a tracer can follow
        count = _Count.apply if torch.is_grad_enabled() else _count
        counts, v = [], None if state is None else state[0]
        for current in x.unbind():
            u = current if v is None else self.decay * v + current
            n = count(u / self.v_threshold, self.levels)
            v = u - self.v_threshold * n.detach()
            counts.append(n)
        spikes = torch.stack(counts)
        return spikes if self.unit == 1 else spikes / self.levels, (v,)

    def extra_repr(self) -> str:
        return f'levels={self.levels}, decay={self.decay}, v_threshold={self.v_threshold}, unit={self.unit:g}'


@NEURONS.register_module()
class NILIF(ILIF):
    """Normalised integer LIF: `ILIF` with counts divided by `levels`, so that outputs lie between 0 and 1.

    Args:
        levels: D, the largest count.
        decay: of the membrane potential from one step to the next.
        v_threshold: membrane potential that makes one count.

    Raises:
        ConfigError: levels or decay is out of range.

    Source: Lei et al., AAAI 2025 (Spike2Former, arXiv 2412.14587).

    >>> import torch
    >>> NILIF(levels=2)(torch.tensor([[0.4], [1.2], [9.0]])).flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, levels: int = 4, decay: float = 0.25, v_threshold: float = 1.0) -> None:
        super().__init__(levels, decay, v_threshold)
