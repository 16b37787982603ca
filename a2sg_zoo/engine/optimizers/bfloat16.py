"""Mixed precision in bfloat16, which needs no scale of the loss."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from a2sg_zoo.registry import OPTIM_WRAPPERS

# flags of /proc/cpuinfo, of processors that calculate in bfloat16 (x86 and ARM)
_FLAGS = {'avx512_bf16', 'amx_bf16', 'avx_ne_convert', 'bf16', 'svebf16'}


@cache
def calculates_in_bfloat16(device: str) -> bool:
    """Whether a device has instructions for bfloat16, so that it is faster than float32.

    Args:
        device: type of device, 'cpu' or 'cuda'.
    """
    if device == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return False
    lines = [line.split() for line in text.splitlines() if line.lower().startswith(('flags', 'features'))]
    return any(_FLAGS & set(line) for line in lines)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs forward passes in bfloat16 where torch's autocast chooses it; weights and their steps stay in float32.

    bfloat16 has the range of float32, so gradients need no scale. Processors that calculate in it (AVX-512 BF16, AMX)
    train convolutions about twice as fast; on others it is slower than float32. MMEngine's `AmpOptimWrapper` is for
    accelerators alone.

    Args:
        **kwargs: those of MMEngine's `OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a forward pass.

        Args:
            model: the network.
        """
        with super().optim_context(model), torch.autocast(next(model.parameters()).device.type, torch.bfloat16):
            yield


@OPTIM_WRAPPERS.register_module()
class AutoPrecisionOptimWrapper(OptimWrapper):
    """`BFloat16OptimWrapper` on a device that calculates in bfloat16, and float32 on others.

    The log says which. A resumed run keeps the precision that it began with, also on another device.

    Args:
        **kwargs: those of MMEngine's `OptimWrapper`.

    Attributes:
        precision: 'bfloat16' or 'float32', known from the first forward pass or a loaded state on.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.precision: str | None = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a forward pass.

        Args:
            model: the network.
        """
        device = next(model.parameters()).device.type
        if self.precision is None:
            has = calculates_in_bfloat16(device)
            self.precision = 'bfloat16' if has else 'float32'
            reason = f'because this {device} {"calculates" if has else "does not calculate"} in bfloat16'
            print_log(f'Precision: {self.precision}, {reason} (optim_wrapper.type)', 'current')
        lower = torch.autocast(device, torch.bfloat16) if self.precision == 'bfloat16' else nullcontext()
        with super().optim_context(model), lower:
            yield

    def state_dict(self) -> dict:
        """MMEngine's state with the precision."""
        return {**super().state_dict(), 'precision': self.precision}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restores a state and its precision.

        Args:
            state_dict: from `state_dict`, or of another wrapper of the same optimiser.
        """
        state_dict = dict(state_dict)
        before = state_dict.pop('precision', None)
        super().load_state_dict(state_dict)
        if before in ('bfloat16', 'float32'):
            self.precision = before
            print_log(f'Precision: {before}, as the run began', 'current')
