"""VGGSNN: the spiking VGG for event cameras of TET (Deng et al., ICLR 2022).

Reference implementation: github.com/Gus-Lab/temporal_efficient_training.
"""

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.layers import Folded, conv_bn, encode
from a2sg_zoo.registry import MODELS


class VGGLayer(nn.Module):
    """Convolution, batch norm, neuron. (T, B, C, H, W) to spikes."""

    def __init__(self, in_channels, out_channels, stride, neuron):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels, stride=stride, bias=True)
        self.neuron = neuron

    def forward(self, x):
        return self.neuron(self.project(x))


@MODELS.register_module()
class VGGSNN(SpikingBackbone):
    """Spiking VGG: pairs of 3x3 convolutions, each of which halves height and width.

    Every pair can be tapped, at strides 2, 4, 8, 16. Outputs are spikes, or averages of four of them. The published
    classifier is one linear layer on all values of the last output, of 48x48 images and therefore 3x3.

    Args:
        widths: channels of the convolutions, two a stage.
        pool: 'avg' (average pooling after each pair) or 'stride' (its second convolution has stride 2): the two
            published forms.
        in_channels: channels of the input; an event camera has 2, one a polarity.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^classifier\.', None),
        (r'\.fwd\.module\.0\.', '.project.conv.'),
        (r'\.fwd\.module\.1\.', '.project.bn.'),
    ]

    def __init__(
        self,
        widths=(64, 128, 256, 256, 512, 512, 512, 512),
        pool='avg',
        in_channels=2,
        neuron=dict(type='LIF', tau=2.0, decay_input=False, detach_reset=False),
        **kwargs,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if pool not in ('avg', 'stride'):
            raise ConfigError(f"VGGSNN: pool must be 'avg' or 'stride', got {pool!r}")
        if len(widths) % 2:
            raise ConfigError(f'VGGSNN: widths must have two numbers a stage, got {widths}')
        self.features = nn.ModuleList()
        self._ends = []
        for i, (c_in, c_out) in enumerate(zip([in_channels, *widths], widths)):
            last = i % 2 == 1
            self.features.append(VGGLayer(c_in, c_out, 2 if last and pool == 'stride' else 1, self.neuron()))
            if last and pool == 'avg':
                self.features.append(Folded(nn.AvgPool2d(2)))
            if last:
                self._ends.append(len(self.features) - 1)
        self.tap(widths[1::2])

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell."""
        convs = {int(name.split('.')[1]): x for name, x in weights.items() if name.endswith('.project.conv.weight')}
        return dict(
            widths=[len(convs[i]) for i in sorted(convs)],
            pool='stride' if 2 in convs else 'avg',
            in_channels=convs[0].shape[1],
        )

    def forward_stages(self, x):
        x = self.features[0].neuron(encode(self.features[0].project, x, self.T))
        for i, layer in enumerate(self.features):
            x = self.run([layer], x) if i else x
            if i in self._ends:
                yield x
