"""A function around the spike function of a neuron, to look at what goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def around(look: Callable[..., Tensor], fire: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """What takes the place of a spike function, for `Adapter.install`.

    Args:
        look: called as `look(fire, z, *args)`; answers with the spikes.
        fire: the spike function; its attributes are those of the answer too.
    """
    return _AroundModule(look, fire) if isinstance(fire, nn.Module) else _Around(look, fire)


class _Around:
    def __init__(self, look, fire):
        self.__dict__.update(look=look, fire=fire)

    def __call__(self, z: Tensor, *args: Any) -> Tensor:
        return self.look(self.fire, z, *args)

    def __getattr__(self, name):
        return getattr(self.__dict__['fire'], name)

    def __reduce_ex__(self, protocol):
        return _given, (self.fire,)


class _AroundModule(nn.Module):
    """The same for a place that takes only modules."""

    def __init__(self, look, fire):
        super().__init__()
        self.__dict__.update(look=look, fire=fire)

    def forward(self, z: Tensor, *args: Any) -> Tensor:
        return self.look(self.fire, z, *args)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__['fire'], name)

    def __reduce_ex__(self, protocol):
        return _given, (self.fire,)


def _given(fire):
    """A copy or a pickled file of a neuron holds its own spike function."""
    return fire
