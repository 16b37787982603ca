"""SEW-ResNet (Fang et al., NeurIPS 2021): residual blocks that combine spikes element by element.

Reference implementation: github.com/fangwei123456/Spike-Element-Wise-ResNet.
"""

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import Folded, conv_bn, encode
from a2sg_zoo.registry import MODELS

# g(spikes of the residual branch, shortcut)
CONNECT = dict(ADD=lambda s, x: s + x, AND=lambda s, x: s * x, IAND=lambda s, x: (1 - s) * x)
EXPANSION = dict(basic=1, bottleneck=4)


class SpikingLayer(nn.Module):
    """Convolution, batch norm, neuron. (T, B, C, H, W) to spikes."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, neuron):
        super().__init__()
        self.project = conv_bn(in_channels, out_channels, kernel_size, stride)
        self.neuron = neuron

    def forward(self, x):
        return self.neuron(self.project(x))


class SEWBlock(nn.Module):
    """g(layers(x), x), both spikes, with a 1x1 `SpikingLayer` in the shortcut where shapes differ."""

    def __init__(self, in_channels, width, stride, block, connect, make_neuron):
        super().__init__()
        out_channels = width * EXPANSION[block]
        # (kernel size, channels, stride) of each layer
        layers = (
            [(3, width, stride), (3, width, 1)]
            if block == 'basic'
            else [(1, width, 1), (3, width, stride), (1, out_channels, 1)]
        )
        self.layers = nn.Sequential()
        channels = in_channels
        for kernel_size, c_out, s in layers:
            self.layers.append(SpikingLayer(channels, c_out, kernel_size, s, make_neuron()))
            channels = c_out
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else SpikingLayer(in_channels, out_channels, 1, stride, make_neuron())
        )
        self.connect = CONNECT[connect]

    def forward(self, x):
        return self.connect(self.layers(x), self.shortcut(x))


@MODELS.register_module()
class SEWResNet(SpikingBackbone):
    """Spike-element-wise ResNet.

    Four stages can be tapped, at strides 4, 8, 16, 32. Outputs are spikes for AND and IAND, and sums of spikes for
    ADD.

    Args:
        depths: blocks of each stage. Of basic blocks, (2, 2, 2, 2) is SEW-ResNet-18 and (3, 4, 6, 3) 34; of
            bottlenecks, (3, 4, 6, 3) is 50, (3, 4, 23, 3) 101 and (3, 8, 36, 3) 152.
        widths: of each stage; its output has as many channels, or four times as many for bottlenecks. The stem has
            widths[0].
        block: 'basic' or 'bottleneck'.
        connect: how the spikes s of a block meet those of its shortcut, x: 'ADD' (s + x), 'AND' (s x) or 'IAND'
            ((1 - s) x).
        in_channels: channels of the input.
        neuron: config of the neurons; the default is the paper's.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^fc\.', None),
        (r'\.module\.', '.'),  # some versions of the library that the published code uses have it in their names
        (r'^conv1\.', 'stem.conv.'),
        (r'^bn1\.', 'stem.bn.'),
        *((rf'^layer{i + 1}\.', f'stages.{i}.') for i in range(4)),
        (r'\.downsample\.0\.', '.shortcut.'),
        *((rf'\.conv{i + 1}\.', f'.layers.{i}.') for i in range(3)),
        (r'^(stages\..*)\.0\.(\w+)$', r'\1.project.conv.\2'),
        (r'^(stages\..*)\.1\.(\w+)$', r'\1.project.bn.\2'),
    ]

    def __init__(
        self,
        depths=(2, 2, 2, 2),
        widths=(64, 128, 256, 512),
        block='basic',
        connect='ADD',
        in_channels=3,
        neuron=dict(type='IF', surrogate=dict(type='ATan', alpha=2.0)),
        **kwargs,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if len(depths) != 4 or len(widths) != 4:
            raise ConfigError(f'SEWResNet: depths and widths must have 4 numbers, got {depths} and {widths}')
        for name, value, known in (('block', block, EXPANSION), ('connect', connect, CONNECT)):
            if value not in known:
                raise ConfigError(f'SEWResNet: {name} must be one of {sorted(known)}, got {value!r}')
        self.stem, self.stem_neuron = conv_bn(in_channels, widths[0], 7, 2), self.neuron()
        self.pool = Folded(nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList()
        channels = widths[0]
        for i, (depth, width) in enumerate(zip(depths, widths)):
            stage = nn.Sequential()
            for j in range(depth):
                stage.append(SEWBlock(channels, width, 2 if i and j == 0 else 1, block, connect, self.neuron))
                channels = width * EXPANSION[block]
            self.stages.append(stage)
        self.tap([width * EXPANSION[block] for width in widths])

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell; not how blocks connect."""
        return dict(
            depths=[count(weights, f'stages.{i}') for i in range(4)],
            widths=[len(weights[f'stages.{i}.0.layers.0.project.bn.weight']) for i in range(4)],
            block='bottleneck' if count(weights, 'stages.0.0.layers') == 3 else 'basic',
            in_channels=weights['stem.conv.weight'].shape[1],
        )

    def forward_stages(self, x):
        x = self.pool(self.stem_neuron(encode(self.stem, x, self.T)))
        for stage in self.stages:
            x = self.run(stage, x)
            yield x
