"""Adapters: how to reach the spike function and the threshold of a neuron that another library defines.

An adapter is one class with one decorator. For a neuron of your own it takes three lines:

    @adapter(MyNeuron)
    class MyAdapter(Adapter):
        spike_attribute, threshold_attribute = 'act', 'theta'

where `my_neuron.act` is called with u - threshold at each time step and answers with the spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import Controller
from a2sg_zoo.surrogates import Surrogate


@dataclass(frozen=True)
class Declared:
    """The surrogate that a layer says it has, from its name, its arguments and its library's documentation.

    Attributes:
        text: name and arguments.
        shape: f(z) as documented; None if it is not known here.
        width: beta of the same shape of this package; None for shapes that this package does not have.
    """

    text: str
    shape: Callable[[Tensor], Tensor] | None = None
    width: float | None = None

    @classmethod
    def like(cls, text: str, surrogate: Surrogate, scale: float = 1.0) -> Declared:
        """A surrogate that is `scale` times one of this package."""
        return cls(text, lambda z: scale * surrogate(z, surrogate.beta), surrogate.beta)


class Adapter:
    """Tells `attach` how one kind of neuron works. Subclass it and decorate the subclass with `adapter`.

    Attributes:
        spike_attribute: name of the attribute of the neuron that holds its spike function. The neuron calls it with
            u - threshold, at each time step once.
        threshold_attribute: name of the attribute that holds the threshold, a number or a tensor.
        calls_before: number of calls of the spike function in a call of the neuron that come before the spikes, such as
            one for a reset that no gradient passes.
        suits_fixed: whether a `Fixed` policy, which searches for nothing, works on a neuron that `refuse` names.
        through_time: whether a search sees the gradient that reaches u through time. False for a neuron with a
            threshold that depends on earlier time steps: then c is taken for 0, and the policy sees g f alone.
    """

    spike_attribute = 'surrogate_function'
    threshold_attribute = 'v_threshold'
    calls_before = 0
    suits_fixed = True
    through_time = True

    def __repr__(self) -> str:
        return type(self).__name__

    def refuse(self, module: nn.Module) -> str | None:
        """The reason why this neuron cannot be attached to; None if it can."""
        return None

    def threshold(self, module: nn.Module) -> float | Tensor:
        """The threshold as the neuron subtracts it; with a graph if it is learned."""
        return getattr(module, self.threshold_attribute)

    def state(self, module: nn.Module, args: tuple, kwargs: Mapping[str, object]) -> Sequence[object] | None:
        """The state that a call of the neuron starts from.

        The call continues the time steps of those calls from which gradients pass to it through this state. Without
        such a gradient, it begins a sequence.

        Args:
            module: the neuron.
            args, kwargs: arguments of the call.

        Returns:
            tensors, and whatever else the state has; empty if the call starts without a state; None if it cannot be
            told. Then all calls within one forward pass of the network belong together.
        """
        return None

    def declared(self, module: nn.Module) -> Declared:
        """The surrogate that the neuron says it has, for `a2sg_zoo.probe`."""
        function = getattr(module, self.spike_attribute)
        return Declared(getattr(function, '__name__', type(function).__name__))

    def features(self, module: nn.Module) -> int | None:
        """The size of the last axis of the neuron's input; None if any size will do."""
        return None

    def reset(self, module: nn.Module) -> None:
        """Has a neuron that keeps its state forget it."""

    def run(self, module: nn.Module, x: Tensor) -> object:
        """Runs the neuron alone, from a fresh state, for `a2sg_zoo.probe`. By default, one call takes all time steps.

        Args:
            module: the neuron.
            x: (T, B, features).

        Returns:
            all outputs.
        """
        return module(x)

    def leak(self, module: nn.Module) -> tuple[Tensor, bool] | None:
        """(r, decay_input) of a neuron that learns its leak rate r = 1 / tau, see `Dynamics`; None for others."""
        return None

    def install(self, module: nn.Module, wrap: Callable[[Callable[[Tensor], Tensor]], Callable]) -> Callable[[], None]:
        """Replaces the spike function of a neuron.

        Args:
            module: the neuron.
            wrap: makes the new spike function of the old one.

        Returns:
            a function that puts the old one back.

        Raises:
            ConfigError: the neuron has no such attribute, or it is no function.
        """
        name = self.spike_attribute
        old = getattr(module, name, None)
        if not callable(old):
            raise ConfigError(
                f'{type(self).__name__}: {type(module).__name__} has no function {name!r}; set spike_attribute to the '
                'name of the attribute that holds its spike function'
            )
        set_attribute(module, name, wrap(old))
        return lambda: set_attribute(module, name, old)

    def fuse(self, module: nn.Module, controller: Callable[[Tensor], Controller | None]) -> Callable[[], None] | str:
        """Has a neuron computed by our fused neuron.

        Args:
            module: the neuron.
            controller: answers with what decides the widths in a call with the input x, (T, B, ...); None for a call
                that the neuron's own code is to compute.

        Returns:
            a function that puts the neuron's own code back, or the reason why the neuron is left as it is.
        """
        return 'our fused neuron does not compute the equations of this kind'


def set_attribute(module: nn.Module, name: str, value: object) -> None:
    """Sets an attribute of a module that may hold a submodule or a plain object, whichever it held before."""
    if isinstance(value, nn.Module) != (name in module._modules):
        delattr(module, name)
    setattr(module, name, value)


_adapters: dict[str, Adapter] = {}
_Class = TypeVar('_Class', bound=type[Adapter])


def adapter(*neurons: type | str) -> Callable[[_Class], _Class]:
    """A class decorator that makes an adapter known for some classes of neurons and their subclasses.

    Args:
        *neurons: classes, or their full names such as 'package.module.Neuron', so the library need not be imported.

    >>> import torch
    >>> class Perfect(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.act, self.theta = lambda z: (z >= 0).to(z.dtype), 1.0
    ...     def forward(self, x):
    ...         return self.act(x - self.theta)
    >>> @adapter(Perfect)
    ... class PerfectAdapter(Adapter):
    ...     spike_attribute, threshold_attribute = 'act', 'theta'
    >>> find_adapter(Perfect())
    PerfectAdapter
    """

    def register(cls):
        for neuron in neurons:
            _adapters[neuron if isinstance(neuron, str) else _full_name(neuron)] = cls()
        return cls

    return register


def find_adapter(module: nn.Module) -> Adapter | None:
    """The adapter of a module's class, or of the nearest base class that has one; None if there is none."""
    return next((_adapters[name] for name in map(_full_name, type(module).__mro__) if name in _adapters), None)


def _full_name(cls):
    return f'{cls.__module__}.{cls.__qualname__}'
