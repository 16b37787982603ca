"""Heads for data with a time axis: a leaky readout, and spiking layers whose last neurons vote."""

import torch
from mmengine.model import BaseModule
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.classifiers.heads import pool_space
from a2sg_zoo.models.layers import DelayLinear, SequenceDropout
from a2sg_zoo.models.losses import TET, RateMSE
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.registry import MODELS, NEURONS
from a2sg_zoo.utils.checks import integer, positive


@MODELS.register_module()
class ReadoutHead(BaseModule):
    """A linear layer and neurons that integrate and never fire: (T, B, C) to logits (T, B, num_classes).

        u[t] = (1 - 1/tau) u[t-1] + W x[t] + b,    u[-1] = 0

    With readout='potential' the logits are u. With readout='softmax' they are T softmax(u[t]), so their mean over time,
    which the loss and the metric take, is the sum of the softmax over time, as published for SHD and SSC. Neurons
    integrate, and logits are, in float32 at least.

    Args:
        in_channels: channels C of the backbone's last output.
        num_classes: number of classes.
        tau: time constant of the neurons in time steps, >= 1; 1 keeps nothing.
        decay_input: whether the input is averaged, W x[t] / tau, or summed.
        readout: 'softmax' or 'potential'.
        max_delay: number of delays of the synapses, from 0 to max_delay - 1 time steps; None for synapses without
            delays. See `a2sg_zoo.models.layers.DelayLinear`.
        loss: config of the loss, a module called with (logits, target).
        init_cfg: MMEngine's config of the initial weights.

    Attributes:
        loss: the loss, called with logits (T, B, num_classes) and a target.

    Raises:
        ConfigError: an argument has a value that it cannot have, or the loss does not go with readout='softmax': TET
            and RateMSE draw outputs to 1, and the softmax outputs are up to T.

    Source: Bittar and Garner, Front. Neurosci. 2022; Hammouamri et al., ICLR 2024. Bittar and Garner learn a time
    constant for each class; here it is fixed.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.classifiers import ReadoutHead
        >>> head = ReadoutHead(in_channels=16, num_classes=20, tau=10.0)
        >>> logits = head(torch.rand(50, 2, 16))
        >>> logits.shape, round(float(logits.mean(0).sum(1)[0]))  # the sum of 50 times softmax
        (torch.Size([50, 2, 20]), 50)
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        tau: float = 10.0,
        decay_input: bool = True,
        readout: str = 'softmax',
        max_delay: int | None = None,
        loss: dict = dict(type='MeanCrossEntropy'),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if readout not in ('softmax', 'potential'):
            raise ConfigError(f"ReadoutHead: readout must be 'softmax' or 'potential', got {readout!r}")
        self.in_channels, self.num_classes, self.readout, self.decay_input = (
            in_channels,
            num_classes,
            readout,
            decay_input,
        )
        self.tau = positive('tau', tau, self)
        if self.tau < 1:
            raise ConfigError(f'ReadoutHead: tau must be at least 1 time step, got {tau}')
        self.linear = (
            nn.Linear(in_channels, num_classes)
            if max_delay is None
            else DelayLinear(in_channels, num_classes, max_delay)
        )
        self.loss = MODELS.build(loss)
        if readout == 'softmax' and isinstance(self.loss, (TET, RateMSE)):
            raise ConfigError(
                f"ReadoutHead: with readout='softmax' outputs are up to T, and the loss {type(self.loss).__name__} "
                "would draw them to 1; set readout='potential' (in a config: model.head.readout)"
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map features x (T, B, C), or (T, B, C, H, W), which are averaged over space, to (T, B, num_classes)."""
        # half precision would lose small currents beside a large sum
        u = leaky_sum(wide(self.linear(pool_space(x, 1))), 1 - 1 / self.tau)
        if self.decay_input:
            u = u / self.tau
        return u if self.readout == 'potential' else u.softmax(-1) * len(u)


def leaky_sum(x: torch.Tensor, decay: float) -> torch.Tensor:
    """Compute u[t] = decay u[t-1] + x[t] for all time steps of x (T, ...), with u[-1] = 0.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.classifiers.sequence_heads import leaky_sum
        >>> leaky_sum(torch.tensor([[1.0], [0.0], [2.0]]), 0.5).flatten().tolist()
        [1.0, 0.5, 2.25]
    """
    potentials = [x[0]]
    for current in x[1:].unbind():
        potentials.append(decay * potentials[-1] + current)
    return torch.stack(potentials)


@MODELS.register_module()
class VotingHead(BaseModule):
    """Spiking linear layers after dropout, and several neurons that vote for each class.

        h = fire(W1 drop(x)),    s = fire(W2 drop(h)),    z_k[t] = mean of the s[t] of the neurons of class k

    Args:
        in_channels: channels C of the backbone's last output.
        num_classes: number of classes.
        grid: see `LinearHead`; the published network for DVS128 Gesture has a grid of 4.
        hidden: number of neurons of the hidden layer.
        votes: number of neurons for each class.
        dropout: rate of dropout before each layer, with one mask for all time steps.
        bias: whether the linear layers have a bias.
        neuron: config of the neurons.
        loss: config of the loss, a module called with (logits, target).
        init_cfg: MMEngine's config of the initial weights.

    Attributes:
        loss: the loss, called with logits (T, B, num_classes), which are from 0 to 1, and a target.

    Raises:
        ConfigError: an argument has a value that it cannot have.

    Source: Fang et al., ICCV 2021; SpikingJelly's `DVSGestureNet` and `VotingLayer`.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.classifiers import VotingHead
        >>> head = VotingHead(in_channels=8, num_classes=11, grid=2, hidden=32)
        >>> head(torch.rand(5, 3, 8, 2, 2)).shape
        torch.Size([5, 3, 11])
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        grid: int = 1,
        hidden: int = 512,
        votes: int = 10,
        dropout: float = 0.5,
        bias: bool = True,
        neuron: dict = dict(type='PLIF', tau=2.0, surrogate=dict(type='ATan', alpha=2.0)),
        loss: dict = dict(type='RateMSE'),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels, self.num_classes, self.grid = in_channels, num_classes, grid
        self.votes = integer('votes', votes, self)
        self.layers = nn.Sequential(
            SequenceDropout(dropout),
            nn.Linear(in_channels * grid**2, integer('hidden', hidden, self), bias=bias),
            NEURONS.build(neuron),
            SequenceDropout(dropout),
            nn.Linear(hidden, num_classes * self.votes, bias=bias),
            NEURONS.build(neuron),
        )
        self.loss = MODELS.build(loss)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map features x (T, B, C, H, W) or (T, B, C) to the shares of votes (T, B, num_classes).

        Raises:
            ConfigError: `grid` is larger than 1, and the features have no space.
        """
        return self.layers(pool_space(x, self.grid)).unflatten(2, (self.num_classes, self.votes)).mean(3)
