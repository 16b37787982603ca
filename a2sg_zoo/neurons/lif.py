"""IF, LIF and PLIF: modules around the pure functions of `dynamics`."""

import math
from contextlib import contextmanager

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.dynamics import Dynamics
from a2sg_zoo.neurons.multistep import FixedWindow, multistep, multistep_potentials
from a2sg_zoo.registry import NEURONS, SURROGATES
from a2sg_zoo.surrogates import Surrogate
from a2sg_zoo.surrogates.base import positive


class Neuron(nn.Module):
    """A layer of spiking neurons over all time steps: (T, B, ...) of currents in, spikes of that shape out.

    State lives in the call, not on the module: there is nothing to reset between batches. The window beta of the
    surrogate is a buffer, of one element, or of T once a policy adapts it a time step at a time; so it is saved,
    restored and moved with the weights.

    Args:
        surrogate: a `Surrogate` or its config; the gradient's shape.
        v_threshold: membrane potential at which a neuron fires.
        v_reset: membrane potential before the first input, and after a spike under a hard reset.
        reset: 'hard' (to v_reset) or 'soft' (v_threshold is subtracted).
        detach_reset: whether the backward pass takes the spike in the reset for a constant.
    """

    decay_input = False

    def __init__(self, surrogate=dict(type='TRI'), v_threshold=1.0, v_reset=0.0, reset='hard', detach_reset=True):
        super().__init__()
        name = type(self).__name__
        if reset not in ('hard', 'soft'):
            raise ValueError(f"{name}: reset must be 'hard' or 'soft', got {reset!r}")
        if isinstance(v_reset, bool) or not isinstance(v_reset, (int, float)):
            raise TypeError(f'{name}: v_reset must be a number, got {v_reset!r}')
        v_threshold = positive('v_threshold', v_threshold, self)
        if v_reset >= v_threshold:
            raise ValueError(f'{name}: v_reset = {v_reset} must lie below v_threshold = {v_threshold}')
        self.dynamics = Dynamics(v_threshold, float(v_reset), self.decay_input, reset == 'hard', bool(detach_reset))
        self.surrogate = surrogate if isinstance(surrogate, Surrogate) else SURROGATES.build(surrogate)
        self.policy = None
        self.potentials = None
        self.register_buffer('beta', torch.tensor([self.surrogate.beta]))

    @property
    def v_threshold(self):
        return self.dynamics.v_threshold

    @property
    def rate(self):
        """The leak rate r = 1 / tau; 0 without a leak."""
        return 0.0

    def forward(self, x):
        if x.dim() < 2:
            raise ValueError(f'{type(self).__name__} takes (T, B, ...), got a tensor of shape {tuple(x.shape)}')
        window = self._window(len(x))
        if self.potentials is None:
            return multistep(x, self.rate, self.dynamics, window)
        s, u = multistep_potentials(x, self.rate, self.dynamics, window)
        self.potentials.append((self, u))
        return s

    def _window(self, T):
        if self.beta.numel() not in (1, T):
            if self.training:
                raise ConfigError(
                    f'the surrogate window of this {type(self).__name__} was adapted for '
                    f'T = {self.beta.numel()} time steps, but it is trained with T = {T}; train with the '
                    'T of the checkpoint, or reset `beta` to one element'
                )
            return FixedWindow(self.surrogate, self.beta[-1])
        if self.policy is None or not self.training:
            return FixedWindow(self.surrogate, self.beta)
        return self.policy.window(self)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        # a checkpoint of an adapted network has one beta a time step where a new network has one in all
        beta = state_dict.get(f'{prefix}beta')
        if beta is not None and beta.dim() == 1:
            self.beta = self.beta.new_empty(beta.shape)
        # what a policy keeps with the neuron means nothing without that policy
        for key in [key for key in state_dict if key.startswith(f'{prefix}policy_')]:
            if key[len(prefix) :] not in self._buffers:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self):
        return f'{self.surrogate}, {self.dynamics}'


def named_neurons(model):
    """{qualified name: neuron} of all spiking layers of a network, in its order of definition."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Neuron)}


@contextmanager
def recorded_potentials(model):
    """A list that fills with (neuron, u) as the network's forward pass goes through its neurons; u: (T, B, ...).

    u is part of the graph: a loss on it reaches the layer's input and everything below.
    """
    potentials, neurons = [], named_neurons(model).values()
    for neuron in neurons:
        neuron.potentials = potentials
    try:
        yield potentials
    finally:
        for neuron in neurons:
            neuron.potentials = None


@NEURONS.register_module()
class IF(Neuron):
    """Integrate and fire: u[t] = v[t-1] + x[t]. See `Neuron` for the arguments."""


@NEURONS.register_module()
class LIF(Neuron):
    """Leaky integrate and fire.

        u[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau    decay_input=True
        u[t] = (1 - 1/tau) v[t-1] + x[t]                     decay_input=False

    Args:
        tau: membrane time constant in time steps, >= 1.
        decay_input: which of the two conventions; tau=2 without it is the literature's "decay 0.5".
        **kwargs: see `Neuron`.
    """

    def __init__(self, tau=2.0, decay_input=True, **kwargs):
        self.decay_input = bool(decay_input)
        super().__init__(**kwargs)
        self.tau = _time_constant(tau, self)

    @property
    def rate(self):
        return 1 / self.tau

    def extra_repr(self):
        return f'tau={self.tau}, {super().extra_repr()}'


@NEURONS.register_module()
class PLIF(Neuron):
    """LIF whose time constant is learned, one a layer: 1 / tau = sigmoid(w).

    Args:
        tau: the time constant to start from, > 1.
        decay_input: as for `LIF`.
        **kwargs: see `Neuron`.

    Source: Fang et al., ICCV 2021.
    """

    def __init__(self, tau=2.0, decay_input=True, **kwargs):
        self.decay_input = bool(decay_input)
        super().__init__(**kwargs)
        tau = _time_constant(tau, self)
        if tau == 1:
            raise ValueError('PLIF: tau must exceed 1, where 1 / tau = sigmoid(w) has no finite w')
        self.w = nn.Parameter(torch.tensor(-math.log(tau - 1)))

    @property
    def rate(self):
        return self.w.sigmoid()

    @property
    def tau(self):
        return 1 / self.rate


def _time_constant(tau, owner):
    tau = positive('tau', tau, owner)
    if tau < 1:
        raise ValueError(f'{type(owner).__name__}: tau must be at least 1 time step, got {tau}')
    return tau
