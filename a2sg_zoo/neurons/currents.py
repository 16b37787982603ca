"""Neurons with a state beside the membrane potential: an adaptive threshold, a synaptic current."""

from __future__ import annotations

from torch import Tensor

from a2sg_zoo.neurons.step import StepNeuron
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.utils.checks import number, positive


@NEURONS.register_module()
class ALIF(StepNeuron):
    """Leaky integrate and fire with a threshold that rises with each spike, and decays.

        u[t]         = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau    decay_input=True
        u[t]         = (1 - 1/tau) v[t-1] + x[t]                     decay_input=False
        threshold[t] = v_threshold + b a[t-1]
        a[t]         = (1 - 1/tau_a) a[t-1] + s[t] / tau_a

    A hard reset sets v to v_reset; a soft one subtracts threshold[t]. The spike in a[t] has a gradient, also where
    `detach_reset` cuts that of the reset.

    Args:
        tau: time constant of the membrane potential in time steps, >= 1.
        tau_a: time constant of the threshold in time steps, >= 1.
        b: how far a neuron that fires in each time step raises its threshold, in units of the membrane potential, > 0.
        decay_input: whether the input is averaged or summed.
        **kwargs: see `Neuron`.

    Raises:
        ConfigError: a constant is out of its range.

    Source: Bellec et al., NeurIPS 2018 (LSNN).

    >>> import torch
    >>> ALIF(tau=1.0, tau_a=2.0, b=1.0)(torch.full((4, 1), 1.3)).flatten()  # thresholds 1, 1.5, 1.25, 1.625
    tensor([1., 0., 1., 0.])
    """

    def __init__(
        self, tau: float = 2.0, tau_a: float = 10.0, b: float = 1.0, decay_input: bool = True, **kwargs
    ) -> None:
        self.decay_input = bool(decay_input)
        super().__init__(**kwargs)
        self.tau, self.tau_a = number('tau', tau, self, 1), number('tau_a', tau_a, self, 1)
        self.b = positive('b', b, self)

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        """v = v_reset and a = 0."""
        return self.dynamics.v_reset, 0.0

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.leak(state[0], x, self.tau), state

    def threshold(self, state: tuple[Tensor, ...]) -> Tensor:
        """v_threshold + b a."""
        return self.dynamics.v_threshold + self.b * state[1]

    def reset(self, u: Tensor, s: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        a = state[1]
        return self.reset_potential(u, s, self.threshold(state)), a + (s - a) / self.tau_a


@NEURONS.register_module()
class SynapticLIF(StepNeuron):
    """Leaky integrate and fire with a synaptic current, also known as the current-based LIF (CUBA-LIF).

        i[t] = (1 - 1/tau_syn) i[t-1] + x[t]
        u[t] = (1 - 1/tau) v[t-1] + i[t]

    Args:
        tau: time constant of the membrane potential in time steps, >= 1.
        tau_syn: time constant of the current in time steps, >= 1; at 1 this is a `LIF` that sums its input.
        **kwargs: see `Neuron`.

    Raises:
        ConfigError: a constant is out of its range.

    Source: Gerstner et al., Neuronal Dynamics, 2014, section 1.3, in discrete time; `Synaptic` of snnTorch with alpha =
    1 - 1/tau_syn and beta = 1 - 1/tau.

    >>> import torch
    >>> SynapticLIF(tau=2.0, tau_syn=2.0)(torch.tensor([[0.8], [0.0], [0.0]])).flatten()  # u = 0.8, 0.8, 0.6
    tensor([0., 0., 0.])
    """

    def __init__(self, tau: float = 2.0, tau_syn: float = 2.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.tau, self.tau_syn = number('tau', tau, self, 1), number('tau_syn', tau_syn, self, 1)

    def start(self, x: Tensor) -> tuple[Tensor | float, ...]:
        """v = v_reset and i = 0."""
        return self.dynamics.v_reset, 0.0

    def charge(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        v, i = state
        i = (1 - 1 / self.tau_syn) * i + x
        return (1 - 1 / self.tau) * v + i, (v, i)
