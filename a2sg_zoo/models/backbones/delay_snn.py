"""A feedforward spiking network with learned delays, for sequences (Hammouamri et al., ICLR 2024)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.layers import DelayLinear, SequenceDropout, TimeFolded, check_sequence, make_norm
from a2sg_zoo.registry import MODELS


class DelayLayer(nn.Module):
    """Synapses with delays, norm, neuron and dropout: y = drop(fire(norm(delay(x)))), on sequences (T, B, F).

    Args:
        delay: layer of synapses with delays.
        norm: see `a2sg_zoo.models.layers.make_norm`.
        neuron: layer of spiking neurons.
        dropout: rate of dropout of the spikes.
    """

    def __init__(self, delay: DelayLinear, norm: str | None, neuron: nn.Module, dropout: float):
        super().__init__()
        self.delay = delay
        self.norm = TimeFolded(make_norm(norm, delay.weight.shape[0]))
        self.neuron = neuron
        self.dropout = SequenceDropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, F_in) to spikes (T, B, F_out)."""
        return self.dropout(self.neuron(self.norm(self.delay(x))))


@MODELS.register_module()
class DelaySNN(SpikingBackbone):
    """DCLS-Delays: layers of neurons with a learned weight and a learned delay at every synapse, without recurrence.

    Input is sequences (T, B, F), and every layer can be returned (`out_indices`), (T, B, C). A layer sees the past
    max_delay time steps and never the future, so fewer time steps give the same first outputs. The hook
    `NarrowDelays` belongs to the recipe, see `DelayLinear`. The published network ends with one more layer with delays:
    `ReadoutHead(max_delay=...)`.

    It differs from the published code in one place: there, every layer makes the sequence longer by half of max_delay.

    Args:
        in_features: features F of a time step of the data.
        widths: numbers of neurons of the layers.
        max_delay: number of delays, from 0 to max_delay - 1 time steps.
        norm: 'batch', 'layer' or None, before the neurons.
        dropout: rate of dropout after the neurons, with one mask for all time steps.
        neuron: config of the neurons; the default is that of the reference implementation for SHD.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Hammouamri, Khalfaoui-Hassani and Masquelier, ICLR 2024. Reference implementation:
    github.com/Thvnvtos/SNN-delays.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import DelaySNN
        >>> backbone = DelaySNN(in_features=10, widths=(32, 32), max_delay=5, T=20, time='keep')
        >>> backbone(torch.rand(20, 3, 10))[0].shape  # (T, B, C)
        torch.Size([20, 3, 32])
    """

    def __init__(
        self,
        in_features: int,
        widths: Sequence[int] = (256, 256),
        max_delay: int = 25,
        norm: str | None = 'batch',
        dropout: float = 0.4,
        neuron: dict = dict(type='LIF', tau=1.005, decay_input=False, surrogate=dict(type='ATan', alpha=5.0)),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if not widths:
            raise ConfigError('DelaySNN: widths is empty; give a number of neurons for each layer')
        self.in_features = in_features
        self.layers = nn.ModuleList(
            DelayLayer(DelayLinear(f_in, f_out, max_delay), norm, self.neuron(), dropout)
            for f_in, f_out in zip([in_features, *widths], widths)
        )
        self.tap(widths)

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`; not max_delay."""
        return dict(
            in_features=weights['layers.0.delay.weight'].shape[1],
            widths=[len(x) for name, x in weights.items() if name.endswith('.delay.weight')],
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C) of each layer."""
        x = check_sequence(x, self.in_features, T)
        for layer in self.layers:
            x = self.run([layer], x)
            yield x
