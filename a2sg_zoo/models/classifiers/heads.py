"""From the last features to logits, a time step at a time."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from a2sg_zoo.registry import MODELS, NEURONS


@MODELS.register_module()
class LinearHead(BaseModule):
    """Logits z[t] = W pool(x[t]) + b: (T, B, C, H, W) -> (T, B, num_classes).

    Args:
        in_channels: channels C of the backbone's last output.
        num_classes: number of classes.
        grid: the features are averaged over the cells of a grid x grid raster, and all its values used: 1 is the mean
            over space; VGGSNN has 3, which is the size of its last output and so averages nothing.
        spiking: fire after the mean over space; for backbones whose outputs are membrane potentials.
        hidden: width of a linear layer with a neuron between mean and logits, none by default; ResNet-19 has 256.
        neuron: config of the neurons.
        loss: config of the loss on (logits, target).
    """

    def __init__(
        self,
        in_channels,
        num_classes,
        grid=1,
        spiking=False,
        hidden=None,
        neuron=dict(type='LIF', tau=2.0),
        loss=dict(type='MeanCrossEntropy'),
        init_cfg=None,
    ):
        super().__init__(init_cfg)
        self.in_channels, self.num_classes, self.grid = in_channels, num_classes, grid
        features = in_channels * grid**2
        self.layers = nn.Sequential()
        if spiking:
            self.layers.append(NEURONS.build(neuron))
        if hidden is not None:
            self.layers.append(nn.Linear(features, hidden)).append(NEURONS.build(neuron))
        self.layers.append(nn.Linear(hidden or features, num_classes))
        self.loss = MODELS.build(loss)

    def forward(self, x):
        return self.layers(self._pool(x))

    def _pool(self, x):
        if self.grid == 1:
            return x.mean((-2, -1))
        if x.shape[-2:] != (self.grid, self.grid):
            x = F.adaptive_avg_pool2d(x.flatten(0, 1), self.grid).unflatten(0, x.shape[:2])
        return x.flatten(2)
