"""Parallel spiking neurons: no reset, so all time steps are computed at once.

    u = W x + b,    s[t] = 1 if u[t] >= 0 else 0

Without a leak and a reset, no gradient reaches u[t] from later time steps, so a search works with c = 0: A2SG chooses
beta[t < T] for the cosine of g[t] f(z[t]; beta[t]) and delta[t+1] alone. `attach` says so in the log.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.step import Fire, StepNeuron
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.surrogates import Surrogate
from a2sg_zoo.utils.checks import integer, number


class _Parallel(StepNeuron):
    through_time = False

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        return ()

    def _fire_all(self, u, fire):
        for u_t in u.unbind():
            fire(u_t, 0.0)


@NEURONS.register_module()
class PSN(_Parallel):
    """Parallel spiking neuron: W and b are learned, one for each pair of time steps and one for each time step.

    The network runs as many time steps as it was built for.

    Args:
        surrogate: see `Neuron`.
        v_threshold: minus the value that b starts from, and the unit of the widths.
        T: number of time steps; a backbone sets it for all its neurons.

    Raises:
        ConfigError: a call has another number of time steps, or T is not known yet.

    Source: Fang et al., NeurIPS 2023 (PSN).

    >>> import torch
    >>> PSN(T=4)(torch.rand(4, 2, 3)).shape
    torch.Size([4, 2, 3])
    """

    all_at_once = True

    def __init__(
        self, surrogate: Surrogate | dict = dict(type='TRI'), v_threshold: float = 1.0, T: int | None = None
    ) -> None:
        super().__init__(surrogate, v_threshold)
        self.register_parameter('weight', None)
        self.register_parameter('bias', None)
        if T is not None:
            self.set_time_steps(T)

    def set_time_steps(self, T: int) -> None:
        super().set_time_steps(T)
        self.weight, self.bias = nn.Parameter(torch.zeros(T, T)), nn.Parameter(torch.full((T, 1), -self.v_threshold))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def matrix(self) -> Tensor:
        """W, (T, T)."""
        return self.weight

    def unroll(self, x: Tensor, state: tuple[Tensor, ...], fire: Fire) -> tuple[Tensor, ...]:
        name = type(self).__name__
        if self.weight is None or self.bias is None:
            raise ConfigError(f'{name} has to know its number of time steps: build it with T=..., or set_time_steps(T)')
        if fire.t or len(x) != len(self.weight):
            raise ConfigError(
                f'{name} has weights for T = {len(self.weight)} time steps, which it computes at once, but was called '
                f'with T = {len(x)}{" of a longer sequence" if fire.t else ""}; run T = {len(self.weight)}, or use '
                'SlidingPSN, which takes any T'
            )
        self._fire_all(torch.addmm(self.bias.to(x.dtype), self.matrix().to(x.dtype), x.flatten(1)).view(x.shape), fire)
        return state


@NEURONS.register_module()
class MaskedPSN(PSN):
    """`PSN` that sees only the last k time steps, as lambda_ goes from 0 to 1 in the training.

        W = (lambda_ mask + (1 - lambda_)) * weight,    mask[t, i] = 1 for t - k < i <= t, else 0

    Args:
        k: order, the number of time steps that a neuron sees.
        lambda_: share of the mask, from 0 (that of `PSN`) to 1. It is a buffer: `neuron.lambda_.fill_(0.5)`.
        surrogate: see `Neuron`.
        v_threshold: minus the value that b starts from, and the unit of the widths.
        T: number of time steps; a backbone sets it for all its neurons.

    Raises:
        ConfigError: k or lambda_ is out of its range, or as for `PSN`.

    Source: Fang et al., NeurIPS 2023 (masked PSN).

    >>> MaskedPSN(k=2, T=3).matrix().count_nonzero().item()
    5
    """

    lambda_: Tensor
    mask: Tensor

    def __init__(
        self,
        k: int = 2,
        lambda_: float = 1.0,
        surrogate: Surrogate | dict = dict(type='TRI'),
        v_threshold: float = 1.0,
        T: int | None = None,
    ) -> None:
        self.k = integer('k', k, type(self).__name__)
        super().__init__(surrogate, v_threshold, T)
        self.register_buffer('lambda_', torch.tensor(number('lambda_', lambda_, self, 0, 1)))

    def set_time_steps(self, T: int) -> None:
        super().set_time_steps(T)
        self.register_buffer('mask', torch.ones(T, T).tril().triu(1 - self.k), persistent=False)

    def matrix(self) -> Tensor:
        return (self.lambda_ * self.mask + (1 - self.lambda_)) * self.weight


@NEURONS.register_module()
class SlidingPSN(_Parallel):
    """Parallel spiking neuron with the same k weights at all time steps, so it takes any T and can be advanced.

        u[t] = sum over i < k of weight[k - 1 - i] x[t - i] + b

    Args:
        k: order, the number of time steps that a neuron sees.
        exp_init: whether the weights start as 1, 1/2, 1/4, ... going back in time, or at random.
        surrogate: see `Neuron`.
        v_threshold: minus the value that b starts from, and the unit of the widths.
        T: number of time steps, if it is known.

    Raises:
        ConfigError: k is no integer of at least 1.

    Source: Fang et al., NeurIPS 2023 (sliding PSN).

    >>> import torch
    >>> SlidingPSN(k=2)(torch.tensor([[0.8], [0.6], [0.6]])).detach().flatten()  # u = -0.2, 0.0, -0.1
    tensor([0., 1., 0.])
    """

    def __init__(
        self,
        k: int = 2,
        exp_init: bool = True,
        surrogate: Surrogate | dict = dict(type='TRI'),
        v_threshold: float = 1.0,
        T: int | None = None,
    ) -> None:
        super().__init__(surrogate, v_threshold, T=T)
        self.k = integer('k', k, self)
        weight = 0.5 ** torch.arange(self.k - 1, -1, -1.0)
        if not exp_init:
            nn.init.kaiming_uniform_(weight[None], a=math.sqrt(5))
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.tensor(-self.v_threshold))

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        """The inputs of the last k - 1 time steps."""
        return (0.0,) * (self.k - 1)

    def unroll(self, x: Tensor, state: tuple[Tensor, ...], fire: Fire) -> tuple[Tensor, ...]:
        seen = torch.cat([torch.stack(state), x]) if state else x
        u: Tensor = self.bias
        for i in range(self.k):  # one lag after the other, which needs no copy of the input
            u = u + self.weight[i] * seen[i : i + len(x)]
        self._fire_all(u, fire)
        return tuple(seen[len(x) :].unbind()) if state else ()
