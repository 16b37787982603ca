"""A recurrent spiking network for sequences (Cramer et al., TNNLS 2022; Bittar and Garner, Front. Neurosci. 2022)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.layers import SequenceDropout, check_sequence, linear_norm
from a2sg_zoo.neurons import Recurrent
from a2sg_zoo.registry import MODELS


class SpikingLayer(nn.Module):
    """Linear layer, norm, neuron and dropout: y = drop(fire(norm(W x))), on sequences (T, B, F).

    Args:
        in_features: features of the input.
        out_features: number of neurons.
        norm: see `a2sg_zoo.models.layers.linear_norm`.
        neuron: layer of spiking neurons, with or without recurrent weights.
        dropout: rate of dropout of the spikes.
    """

    def __init__(self, in_features: int, out_features: int, norm: str | None, neuron: nn.Module, dropout: float):
        super().__init__()
        self.project = linear_norm(in_features, out_features, norm)
        self.neuron = neuron
        self.dropout = SequenceDropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x (T, B, F_in) to spikes (T, B, F_out)."""
        return self.dropout(self.neuron(self.project(x)))


@MODELS.register_module()
class RecurrentSNN(SpikingBackbone):
    """Layers of spiking neurons, each with all-to-all feedback: the input of a neuron is norm(W x[t]) + V s[t-1].

    Input is sequences (T, B, F), and every layer can be returned (`out_indices`), (T, B, C). A search of widths sees
    the whole gradient of a spike, also that through the recurrent weights. V is orthogonal initially.

    Args:
        in_features: features F of a time step of the data.
        widths: numbers of neurons of the layers.
        recurrent: whether layers have feedback; a feedforward network is the usual baseline.
        norm: 'batch', 'layer' or None, before the neurons.
        dropout: rate of dropout after the neurons, with one mask for all time steps.
        neuron: config of the neurons, of any that `Recurrent` takes. The default is the LIF of Bittar and Garner, with
            a time constant for each layer in place of one for each neuron.
        **kwargs: T, out_indices, time, recompute, save_spikes and init_cfg, see `SpikingBackbone`.

    Source: Cramer et al., TNNLS 2022; Bittar and Garner, Front. Neurosci. 2022. Reference implementation of the latter:
    github.com/idiap/sparch. There, potentials and spikes begin at random values; here they begin at 0.

    Example:
        >>> import torch
        >>> from a2sg_zoo.models.backbones import RecurrentSNN
        >>> backbone = RecurrentSNN(in_features=10, widths=(32,), T=20, time='keep')
        >>> backbone(torch.rand(20, 3, 10))[0].shape  # (T, B, C)
        torch.Size([20, 3, 32])
    """

    def __init__(
        self,
        in_features: int,
        widths: Sequence[int] = (128, 128),
        recurrent: bool = True,
        norm: str | None = 'batch',
        dropout: float = 0.1,
        neuron: dict = dict(type='PLIF', tau=10.0, reset='soft', surrogate=dict(type='BOX', beta=0.5)),
        **kwargs: Any,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if not widths:
            raise ConfigError('RecurrentSNN: widths is empty; give a number of neurons for each layer')
        self.in_features, self.recurrent = in_features, recurrent
        self.layers = nn.ModuleList(
            SpikingLayer(f_in, f_out, norm, self._layer_neuron(f_out), dropout)
            for f_in, f_out in zip([in_features, *widths], widths)
        )
        self.tap(widths)

    def _layer_neuron(self, features):
        """The neurons of a layer, inside of the feedback if there is one."""
        if not self.recurrent:
            return self.neuron()
        neuron = Recurrent(self._neuron, features)
        nn.init.orthogonal_(neuron.feedback.weight)
        return neuron

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return the constructor's arguments that follow from the names and shapes of `weights`."""
        linear = [x for name, x in weights.items() if name.endswith('.project.linear.weight')]
        return dict(
            in_features=linear[0].shape[1],
            widths=[len(x) for x in linear],
            recurrent='layers.0.neuron.feedback.weight' in weights,
        )

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C) of each layer."""
        x = check_sequence(x, self.in_features, T)
        for layer in self.layers:
            x = self.run([layer], x)
            yield x
