"""IF, LIF and PLIF: modules around the pure functions of `dynamics`."""

import math

import torch
from torch import Tensor, nn

from a2sg_zoo.neurons.neuron import Neuron
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.utils.checks import positive


@NEURONS.register_module()
class IF(Neuron):
    """Integrate and fire: u[t] = v[t-1] + x[t]. See `Neuron` for the arguments.

    >>> import torch
    >>> IF()(torch.full((3, 1), 0.4)).flatten()  # 0.4, 0.8, 1.2
    tensor([0., 0., 1.])
    """


@NEURONS.register_module()
class LIF(Neuron):
    """Leaky integrate and fire.

        u[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau    decay_input=True
        u[t] = (1 - 1/tau) v[t-1] + x[t]                     decay_input=False

    Args:
        tau: membrane time constant in time steps, >= 1.
        decay_input: which of the two conventions; tau=2 without it is "decay 0.5" in the literature.
        **kwargs: see `Neuron`.

    >>> import torch
    >>> LIF(tau=2.0, decay_input=False)(torch.full((3, 1), 0.7)).flatten()  # 0.7, 1.05, 0.7
    tensor([0., 1., 0.])
    """

    def __init__(self, tau: float = 2.0, decay_input: bool = True, **kwargs) -> None:
        self.decay_input = bool(decay_input)
        super().__init__(**kwargs)
        self.tau = _time_constant(tau, self)

    @property
    def rate(self) -> float:
        """The leak rate r = 1 / tau."""
        return 1 / self.tau

    def extra_repr(self) -> str:
        return f'tau={self.tau}, {super().extra_repr()}'


@NEURONS.register_module()
class PLIF(Neuron):
    """LIF with a learned time constant, one a layer: 1 / tau = sigmoid(w).

    Args:
        tau: the time constant to start from, > 1.
        decay_input: as for `LIF`.
        **kwargs: see `Neuron`.

    Source: Fang et al., ICCV 2021.
    """

    def __init__(self, tau: float = 2.0, decay_input: bool = True, **kwargs) -> None:
        self.decay_input = bool(decay_input)
        super().__init__(**kwargs)
        tau = _time_constant(tau, self)
        if tau == 1:
            raise ValueError('PLIF: tau must exceed 1, where 1 / tau = sigmoid(w) has no finite w')
        self.w = nn.Parameter(torch.tensor(-math.log(tau - 1)))

    @property
    def rate(self) -> Tensor:
        """The leak rate r = 1 / tau = sigmoid(w), a scalar tensor."""
        return self.w.sigmoid()

    @property
    def tau(self) -> Tensor:
        """The time constant that the layer has learned, a scalar tensor."""
        return 1 / self.rate


def _time_constant(tau, owner):
    tau = positive('tau', tau, owner)
    if tau < 1:
        raise ValueError(f'{type(owner).__name__}: tau must be at least 1 time step, got {tau}')
    return tau
