"""The spikes of a network's layers, recorded during a forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from a2sg_zoo.registry import NEURONS


@contextmanager
def record_spikes(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Record the spikes of all layers of neurons while the network runs.

    Args:
        model: a network; its hooks are removed again at the end.

    Yields:
        A dictionary that fills with {name of a layer of neurons: spikes (T, B, ...)} in the order of execution. If a
        layer runs several times, its last spikes remain. Spikes are 0 or 1; those of an `ILIF` are n / levels. They are
        detached and on the device of the network.

    Example:
        >>> import torch
        >>> from a2sg_zoo.analysis.measures.spikes import record_spikes
        >>> from a2sg_zoo.models.backbones import VGGSNN
        >>> backbone = VGGSNN(widths=(4, 8), in_channels=3, T=2).eval()
        >>> with torch.no_grad(), record_spikes(backbone) as spikes:
        ...     _ = backbone(torch.rand(1, 3, 8, 8))
        >>> {layer: tuple(s.shape) for layer, s in spikes.items()}
        {'features.0.neuron': (2, 1, 4, 8, 8), 'features.1.neuron': (2, 1, 8, 8, 8)}
    """
    spikes: dict[str, torch.Tensor] = {}
    kinds = tuple(NEURONS.module_dict.values())

    def keep(name):
        def hook(module, args, output):
            spikes[name] = output.detach()

        return hook

    handles = [
        module.register_forward_hook(keep(name)) for name, module in model.named_modules() if isinstance(module, kinds)
    ]
    try:
        yield spikes
    finally:
        for handle in handles:
            handle.remove()
