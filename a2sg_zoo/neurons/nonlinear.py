"""Neurons with a membrane potential that drives itself: QIF, EIF and Izhikevich's."""

from __future__ import annotations

import torch
from torch import Tensor

from a2sg_zoo.neurons.step import StepNeuron
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.utils.checks import number, positive


@NEURONS.register_module()
class QIF(StepNeuron):
    """Quadratic integrate and fire.

        u[t] = v[t-1] + (x[t] + a0 (v[t-1] - v_rest) (v[t-1] - v_c)) / tau

    Args:
        tau: membrane time constant in time steps, >= 1.
        v_c: potential above which v rises by itself, in the unit of the membrane potential.
        a0: strength of the drive, > 0.
        v_rest: potential at rest.
        v_reset: see `Neuron`.
        **kwargs: see `Neuron`.

    Raises:
        ConfigError: a constant is out of its range.

    Source: Gerstner et al., Neuronal Dynamics, 2014, section 5.3; constants of SpikingJelly's `QIFNode`.

    >>> import torch
    >>> QIF(v_reset=0.0)(torch.full((4, 1), 1.5)).flatten()  # u = 0.75, 1.48, 0.75, 1.48
    tensor([0., 1., 0., 1.])
    """

    def __init__(
        self, tau: float = 2.0, v_c: float = 0.8, a0: float = 1.0, v_rest: float = 0.0, v_reset: float = -0.1, **kwargs
    ) -> None:
        super().__init__(v_reset=v_reset, **kwargs)
        self.tau, self.a0 = number('tau', tau, self, 1), positive('a0', a0, self)
        self.v_c, self.v_rest = number('v_c', v_c, self), number('v_rest', v_rest, self)

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.rise(state[0], x), state

    def rise(self, v: Tensor, x: Tensor) -> Tensor:
        """u from v after the last spike and the input x."""
        return v + (x + self.a0 * (v - self.v_rest) * (v - self.v_c)) / self.tau


@NEURONS.register_module()
class EIF(StepNeuron):
    """Exponential integrate and fire.

        u[t] = v[t-1] + (x[t] + v_rest - v[t-1] + delta_T exp((v[t-1] - theta_rh) / delta_T)) / tau

    Args:
        tau: membrane time constant in time steps, >= 1.
        delta_T: sharpness of the rise in the unit of the membrane potential, > 0.
        theta_rh: potential at which the rise sets in (rheobase threshold).
        v_rest: potential at rest.
        v_reset: see `Neuron`.
        **kwargs: see `Neuron`.

    Raises:
        ConfigError: a constant is out of its range.

    Source: Fourcaud-Trocmé et al., J. Neurosci. 2003; constants of SpikingJelly's `EIFNode`.

    >>> import torch
    >>> EIF(v_reset=0.0)(torch.full((3, 1), 1.2)).flatten()  # u = 0.82, 1.52, 0.82
    tensor([0., 1., 0.])
    """

    def __init__(
        self,
        tau: float = 2.0,
        delta_T: float = 1.0,
        theta_rh: float = 0.8,
        v_rest: float = 0.0,
        v_reset: float = -0.1,
        **kwargs,
    ) -> None:
        super().__init__(v_reset=v_reset, **kwargs)
        self.tau, self.delta_T = number('tau', tau, self, 1), positive('delta_T', delta_T, self)
        self.theta_rh, self.v_rest = number('theta_rh', theta_rh, self), number('v_rest', v_rest, self)

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        (v,) = state
        drive = self.delta_T * torch.exp((v - self.theta_rh) / self.delta_T)
        return v + (x + self.v_rest - v + drive) / self.tau, state


@NEURONS.register_module()
class Izhikevich(QIF):
    """Izhikevich's neuron: a `QIF` with a recovery variable w.

        u[t] = v[t-1] + (x[t] + a0 (v[t-1] - v_rest) (v[t-1] - v_c) - w[t-1]) / tau
        w[t] = w[t-1] + (a (u[t] - v_rest) - w[t-1]) / tau_w + b s[t]

    The spike in w[t] has a gradient, also where `detach_reset` cuts that of the reset.

    Args:
        tau: membrane time constant in time steps, >= 1.
        tau_w: time constant of w in time steps, >= 1.
        a: how far w follows the membrane potential.
        b: by how much a spike raises w, in the unit of the input.
        v_rest: potential at rest.
        v_reset: see `Neuron`.
        **kwargs: see `QIF`.

    Raises:
        ConfigError: a constant is out of its range.

    Source: Izhikevich, IEEE Trans. Neural Networks 2003, in the form of SpikingJelly's `IzhikevichNode`, where a and b
    are 0 by default; the values here are a choice of this project.

    >>> import torch
    >>> Izhikevich(a=0.0, b=2.0, tau=1.0, v_rest=0.0)(torch.full((3, 1), 1.2)).flatten()  # w = 0, 2, 1
    tensor([1., 0., 0.])
    """

    def __init__(
        self,
        tau: float = 2.0,
        tau_w: float = 2.0,
        a: float = 0.1,
        b: float = 0.1,
        v_rest: float = -0.1,
        v_reset: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(tau=tau, v_rest=v_rest, v_reset=v_reset, **kwargs)
        self.tau_w = number('tau_w', tau_w, self, 1)
        self.a, self.b = number('a', a, self), number('b', b, self)

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        """v = v_reset and w = 0."""
        return self.dynamics.v_reset, 0.0

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.rise(state[0], x - state[1]), state

    def reset(self, u: Tensor, s: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        w = state[1]
        return self.reset_potential(u, s), w + (self.a * (u - self.v_rest) - w) / self.tau_w + self.b * s
