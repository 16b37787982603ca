"""Activation checkpointing: a block keeps only its input for the backward pass, which computes the rest once more."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from a2sg_zoo.compat import leave_uncompiled
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.norms import BATCH_NORMS, INSTANCE_NORMS
from a2sg_zoo.neurons.activation_memory import nothing_remembered


def checkpointed(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return `block(x)` and keep only x for the backward pass.

    The backward pass runs the block's forward pass a second time. Outputs and gradients are the same as without
    checkpointing: the second pass draws the same random numbers, batch norms update their running statistics only in
    the first pass, and a policy chooses widths only once, in the backward pass.

    It cannot be used in a network that is compiled as a whole, because torch.compile treats the second pass like the
    first one.

    Args:
        block: module with one input and one output.
        x: input of the block.

    Raises:
        ConfigError: the network is being compiled.

    Source: Chen et al., 2016 (arXiv 1604.06174); `torch.utils.checkpoint`.
    """
    if torch.compiler.is_compiling():
        refuse_to_compile('recompute')
    return run_checkpointed(block, block, x)


def run_checkpointed(network: nn.Module, function: Callable[..., Any], *args: Any) -> Any:
    """Return `function(*args)`, which runs modules of `network`, and keep only args; see `checkpointed`."""
    return checkpoint(
        function,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nothing_remembered(), _WithoutRunningStatistics(network)),
    )


@leave_uncompiled  # a compiler that meets an error while it traces falls back to eager mode and hides the error
def refuse_to_compile(option: str) -> None:
    """Raise a ConfigError for a network that is compiled although `option`, of its backbone, forbids it."""
    raise ConfigError(
        f'activation checkpointing ({option}) cannot be used in a network that is compiled as a whole; leave out '
        f'{option} or compile. Without compile, the neurons are still compiled'
    )


class _WithoutRunningStatistics:
    """Within it, norms use the statistics of the batch, as in the first pass, but leave their running ones alone.

    It can be entered again: each backward pass through one graph runs the forward pass once more.
    """

    def __init__(self, network):
        self.network = network

    def __enter__(self):
        kinds = (*BATCH_NORMS, *INSTANCE_NORMS)
        norms = [m for m in self.network.modules() if isinstance(m, kinds) and m.training and m.track_running_stats]
        self.before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
        counter = torch.tensor(0)  # SyncBatchNorm fails without a counter
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, counter

    def __exit__(self, *error):
        for norm, momentum, counted in self.before:
            norm.momentum, norm.num_batches_tracked = momentum, counted
