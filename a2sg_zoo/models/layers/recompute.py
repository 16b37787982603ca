"""Activation checkpointing: of a block, only the input is kept; the rest is made again in the backward pass."""

from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from a2sg_zoo.compat import leave_uncompiled
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons.saved import nothing_remembered


def recomputed(block, x):
    """`block(x)`, whose forward pass runs once more when gradients are asked for. Outputs and gradients are the same.

    Random numbers are drawn as they were, batch norms count a batch once, and a policy chooses windows once: it does so
    in the backward pass. Not for a network that is compiled as a whole: to torch.compile the second pass would be one
    like the first.

    Args:
        block: module of one input.
        x: its input.

    Raises:
        ConfigError: within torch.compile.

    Source: Chen et al., 2016 (arXiv 1604.06174); `torch.utils.checkpoint`.
    """
    if torch.compiler.is_compiling():
        _refuse_to_compile()
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nothing_remembered(), _once_more(block)))


@leave_uncompiled  # an error that a compiler meets while it traces makes it fall back, and is not raised
def _refuse_to_compile():
    raise ConfigError(
        'blocks that run again (recompute=True) cannot be compiled with the whole network; leave out '
        'either recompute or compile. Neurons are compiled by themselves in any case'
    )


@contextmanager
def _once_more(block):
    """Batch norms take the batch's statistics, as in the first pass, and add nothing of them to the running ones."""
    norms = [m for m in block.modules() if isinstance(m, _NormBase) and m.training and m.track_running_stats]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    unread = torch.tensor(0)  # SyncBatchNorm insists on a counter
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, unread
    try:
        yield
    finally:
        for norm, (momentum, counted) in zip(norms, before):
            norm.momentum, norm.num_batches_tracked = momentum, counted
