"""Neurons that other libraries define, under our policies. See `deferred` for how, and `adapter` to add a neuron."""

from . import braincog, norse, snntorch, spikingjelly  # noqa: F401  their adapters; the libraries themselves are not imported
from .adapter import Adapter, adapter, find_adapter
from .layer import ForeignLayer

__all__ = ['Adapter', 'adapter', 'find_adapter', 'ForeignLayer']
