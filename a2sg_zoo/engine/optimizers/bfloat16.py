"""Mixed precision without a scale of the loss."""

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper

from a2sg_zoo.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Runs forward passes in bfloat16 where torch's autocast sees fit; weights and their steps stay in float32.

    bfloat16 has float32's range, so gradients need no scale, and processors that calculate in it (AVX-512 BF16, AMX)
    train convolutions about twice as fast. MMEngine's `AmpOptimWrapper` is for accelerators alone.

    Args:
        **kwargs: those of MMEngine's `OptimWrapper`.
    """

    @contextmanager
    def optim_context(self, model):
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
