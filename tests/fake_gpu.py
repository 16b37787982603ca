"""Tensors without values that claim to be a GPU's, to see what a real one would wait for."""

from contextlib import contextmanager

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@contextmanager
def fake_gpu():
    """Context in which device='cuda' works, and whoever reads a value there fails.

    Gives a list that fills with the operations that have tensors of the host and of the device: copies from one to the
    other, and indices that become such.
    """
    with FakeTensorMode(), _Crossings() as crossings:
        yield crossings.found


class _Crossings(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        devices = {x.device.type for x in tree_leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)}
        if len(devices) > 1:
            self.found.append(str(func))
        return result


class Unlaunched:
    """In place of a kernel: notes what it is called with."""

    def __init__(self):
        self.calls = []

    def __getitem__(self, grid):
        return lambda *args, **options: self.calls.append(args)
