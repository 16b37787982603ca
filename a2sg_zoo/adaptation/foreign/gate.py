"""The gradient of a learned threshold under a search."""

import inspect
from typing import Any

import torch
from torch import Tensor

from a2sg_zoo.errors import ConfigError


class Gate:
    """Brings a learned threshold the gradient that comes through the spikes, -g f.

    It is known only after the search, so it goes through the input of the neuron, which the backward pass reaches after
    the potentials.
    """

    def __init__(self, threshold: Tensor) -> None:
        self.threshold = threshold
        self.total: Tensor | None = None

    def add(self, share: Tensor) -> None:
        """Adds the gradient g f of one time step that comes through the spikes."""
        share = -share.sum_to_size(self.threshold.shape).to(self.threshold.dtype)
        self.total = share if self.total is None else self.total + share

    def through_call(self, layer: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """The arguments of a call of the neuron, of which the first tensor goes through the gate."""
        for i, x in enumerate(args):
            if isinstance(x, Tensor):
                return (*args[:i], self._through(x), *args[i + 1 :]), kwargs
        for name in inspect.signature(layer.module.forward).parameters:
            if isinstance(kwargs.get(name), Tensor):
                return args, {**kwargs, name: self._through(kwargs[name])}
        raise layer.refusal('its threshold is learned, and it is called without a tensor', ConfigError)

    def _through(self, x):
        return _ThroughGate.apply(x, self.threshold, self)


class _ThroughGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, threshold, gate):
        ctx.gate = gate
        return x.detach()  # no view, so the neuron may change x in place

    @staticmethod
    def backward(ctx, grad):
        total, ctx.gate.total = ctx.gate.total, None
        return grad, total, None
