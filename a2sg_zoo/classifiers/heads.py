"""From the last features to logits, a time step at a time."""

from mmengine.model import BaseModule
from torch import nn

from a2sg_zoo.registry import MODELS, NEURONS


@MODELS.register_module()
class LinearHead(BaseModule):
    """Logits z[t] = W mean_hw(x[t]) + b: (T, B, C, H, W) -> (T, B, num_classes).

    Args:
        in_channels: channels C of the backbone's last output.
        num_classes: number of classes.
        spiking: fire after the mean over space; for backbones whose outputs are membrane potentials.
        hidden: width of a linear layer with a neuron between mean and logits, none by default; ResNet-19 has 256.
        neuron: config of the neurons.
        loss: config of the loss on (logits, target).
    """

    def __init__(self, in_channels, num_classes, spiking=False, hidden=None, neuron=dict(type='LIF', tau=2.0),
                 loss=dict(type='MeanCrossEntropy'), init_cfg=None):
        super().__init__(init_cfg)
        self.in_channels, self.num_classes = in_channels, num_classes
        self.layers = nn.Sequential()
        if spiking:
            self.layers.append(NEURONS.build(neuron))
        if hidden is not None:
            self.layers.append(nn.Linear(in_channels, hidden)).append(NEURONS.build(neuron))
        self.layers.append(nn.Linear(hidden or in_channels, num_classes))
        self.loss = MODELS.build(loss)

    def forward(self, x):
        return self.layers(x.mean((-2, -1)))
