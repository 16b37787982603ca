"""Variants of the LIF with learned or complementary gates: KLIF, GLIF and CLIF."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.step import Fire, StepNeuron
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.utils.checks import integer, number


@NEURONS.register_module()
class KLIF(StepNeuron):
    """LIF with a learned factor k, one a layer, and potentials that are never negative.

        h[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau        decay_input=True
        h[t] = v[t-1] - (v[t-1] - v_reset) / tau + x[t]          decay_input=False
        u[t] = max(k h[t], 0)

    With `scale_reset`, u[t] and the part that a soft reset subtracts are divided by k after the spike.

    Args:
        tau: membrane time constant in time steps, >= 1.
        decay_input: whether the input is averaged or summed.
        scale_reset: see above.
        **kwargs: see `Neuron`.

    Raises:
        ConfigError: a constant is out of its range.

    Source: Jiang and Zhang, 2023 (arXiv 2302.09238).

    >>> import torch
    >>> KLIF()(torch.full((3, 1), 1.4)).detach().flatten()  # u = 0.7, 1.05, 0.7
    tensor([0., 1., 0.])
    """

    def __init__(self, tau: float = 2.0, decay_input: bool = True, scale_reset: bool = False, **kwargs) -> None:
        self.decay_input = bool(decay_input)
        super().__init__(**kwargs)
        self.tau, self.scale_reset = number('tau', tau, self, 1), bool(scale_reset)
        self.k = nn.Parameter(torch.tensor(1.0))

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        (v,) = state
        decayed = v - self.dynamics.v_reset
        h = v + (x - decayed) / self.tau if self.decay_input else v - decayed / self.tau + x
        return torch.relu(self.k * h), state

    def reset(self, u: Tensor, s: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not self.scale_reset:
            return (self.reset_potential(u, s),)
        return (self.reset_potential(u / self.k, s, self.dynamics.v_threshold / self.k),)


@NEURONS.register_module()
class GLIF(StepNeuron):
    """Gated LIF: learned mixtures of two kinds of leak, input and reset.

    With all constants learned as sigmoid(w), so that they lie between 0 and 1, and r = 1 - alpha (1 - decay):

        u[t] = r v[t-1] (1 - gamma s[t-1]) - (1 - alpha) leak - (1 - gamma) subtract s[t-1]
               + (1 - beta (1 - conduct[t])) x[t]
        s[t] = 1 if u[t] >= threshold else 0,    v[t] = u[t]

    alpha mixes the exponential leak (factor decay) with the linear one, beta the weighted input with the plain one, and
    gamma the reset to 0 with the subtraction. `conduct` has one value a time step. A call over fewer time steps uses
    the first of them.

    Args:
        surrogate: see `Neuron`.
        decay: factor of the exponential leak to start from, between 0 and 1.
        v_threshold: threshold to start from, between 0 and 1; the unit of a search stays this value.
        leak: linear leak to start from; by default v_threshold / (2 T), or v_threshold / 8 if T is not known.
        subtract: what a reset subtracts to start from; by default v_threshold.
        conduct: weight of the input to start from, between 0 and 1.
        channels: number of channels, (T, B, channels, ...), for constants of each channel; None for one set a layer.
        detach_reset: whether the backward pass treats the spike in the reset as a constant.
        T: number of time steps.

    Raises:
        ConfigError: a constant is out of its range, or the input has more time steps or another number of channels.

    Source: Yao et al., NeurIPS 2022 (GLIF).

    >>> import torch
    >>> GLIF(T=4)(torch.ones(4, 2, 3)).shape
    torch.Size([4, 2, 3])
    """

    def __init__(
        self,
        surrogate: dict = dict(type='TRI'),
        decay: float = 0.25,
        v_threshold: float = 0.5,
        leak: float | None = None,
        subtract: float | None = None,
        conduct: float = 0.5,
        channels: int | None = None,
        detach_reset: bool = True,
        T: int | None = None,
    ) -> None:
        super().__init__(surrogate, _share('v_threshold', v_threshold, self), detach_reset=detach_reset)
        leak = v_threshold / (2 * (T or 4)) if leak is None else leak
        subtract = v_threshold if subtract is None else subtract
        self.channels = None if channels is None else integer('channels', channels, self)
        shape = () if self.channels is None else (self.channels,)
        for name in ('alpha', 'beta', 'gamma'):
            setattr(self, f'w_{name}', nn.Parameter(0.2 * (torch.rand(shape) - 0.5)))
        values = dict(decay=decay, threshold=v_threshold, leak=leak, subtract=subtract)
        for name, value in values.items():
            setattr(self, f'w_{name}', nn.Parameter(torch.full(shape, _logit(name, value, self))))
        self.w_conduct = nn.Parameter(torch.full((1, *shape), _logit('conduct', conduct, self)))
        if T is not None:
            self.set_time_steps(T)

    def set_time_steps(self, T: int) -> None:
        super().set_time_steps(T)
        if len(self.w_conduct) == 1:
            self.w_conduct = nn.Parameter(self.w_conduct.detach().expand(T, *self.w_conduct.shape[1:]).clone())

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        """v = 0 and no spike."""
        if self.channels is not None and (x.dim() < 2 or x.shape[1] != self.channels):
            raise ConfigError(
                f'GLIF has constants for {self.channels} channels, but one time step of its input has the shape '
                f'{tuple(x.shape)}; the axis after the batch must be that of the channels'
            )
        return 0.0, 0.0

    def unroll(self, x: Tensor, state: tuple[Tensor, ...], fire: Fire) -> tuple[Tensor, ...]:
        steps = len(self.w_conduct)
        if 1 < steps < fire.t + len(x):
            raise ConfigError(
                f'GLIF has a weight of the input for each of T = {steps} time steps, but the input has '
                f'{fire.t + len(x)}; build it with T={fire.t + len(x)}'
            )
        w = self.w_conduct[fire.t : fire.t + len(x)] if steps > 1 else self.w_conduct
        gate = 1 - self.gate('beta', x[0]) * (1 - self._spread(w.sigmoid(), x[0], 1))
        return super().unroll(x * gate, state, fire)

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        v, s = state
        alpha, gamma = self.gate('alpha', x), self.gate('gamma', x)
        kept = (1 - alpha * (1 - self.gate('decay', x))) * v
        u = kept - (1 - alpha) * self.gate('leak', x) + x
        return u - kept * gamma * s - (1 - gamma) * self.gate('subtract', x) * s, state

    def threshold(self, state: tuple[Tensor, ...]) -> Tensor:
        """The learned threshold."""
        return self.gate('threshold', state[0])

    def reset(self, u: Tensor, s: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return u, s.detach() if self.dynamics.detach_reset else s

    def gate(self, name: str, x: Tensor) -> Tensor:
        """One of the learned constants, which broadcasts to x, (B, channels, ...)."""
        return self._spread(getattr(self, f'w_{name}').sigmoid(), x, 0)

    def _spread(self, value, x, before):
        if self.channels is None:
            return value.reshape(*value.shape[:before], *[1] * x.dim()) if before else value
        return value.reshape(*value.shape[:before], 1, -1, *[1] * (x.dim() - 2))


@NEURONS.register_module()
class CLIF(StepNeuron):
    """Complementary LIF: a second state m remembers spikes and deepens the reset.

        u[t] = (1 - 1/tau) v[t-1] + x[t]
        m[t] = m[t-1] sigmoid(u[t] / tau) + s[t]
        v[t] = u[t] - s[t] (v_threshold + sigmoid(m[t]))

    Args:
        tau: membrane time constant in time steps, >= 1.
        reset: 'soft', the only reset of this neuron.
        **kwargs: see `Neuron`.

    Raises:
        ConfigError: a constant is out of its range.

    Source: Huang et al., ICML 2024 (CLIF), which has detach_reset=False.

    >>> import torch
    >>> CLIF(tau=2.0)(torch.full((4, 1), 1.0)).flatten()  # u = 1, 0.63, 1.32, 0.75
    tensor([1., 0., 1., 0.])
    """

    def __init__(self, tau: float = 2.0, reset: str = 'soft', **kwargs) -> None:
        if reset != 'soft':
            raise ConfigError(f"CLIF: reset must be 'soft', got {reset!r}")
        super().__init__(reset=reset, **kwargs)
        self.tau = number('tau', tau, self, 1)

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        """v = v_reset and m = 0."""
        return self.dynamics.v_reset, 0.0

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        v, m = state
        u = v - v / self.tau + x
        return u, (v, m * torch.sigmoid(u / self.tau))

    def reset(self, u: Tensor, s: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        m = state[1] + s
        return self.reset_potential(u, s, self.dynamics.v_threshold + torch.sigmoid(m)), m


def _share(name, value, owner):
    value = number(name, value, owner, 0, 1, below_high=True)
    if value == 0:
        raise ConfigError(f'{type(owner).__name__}: {name} must lie between 0 and 1, got {value}')
    return value


def _logit(name, value, owner):
    value = _share(name, value, owner)
    return -math.log(1 / value - 1)
