"""Spiking ResNet-18 and ResNet-19 (Zheng et al., AAAI 2021; Deng et al., ICLR 2022), for small images.

A neuron fires after the addition of each block, as a ReLU would.

Reference implementation: github.com/Gus-Lab/temporal_efficient_training.
"""

import math

from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones.base import SpikingBackbone
from a2sg_zoo.models.backbones.sizes import count
from a2sg_zoo.models.layers import conv_bn, encode
from a2sg_zoo.registry import MODELS


class SpikingBlock(nn.Module):
    """fires(conv(fires(conv(x))) + x), with a 1x1 convolution in the shortcut where shapes differ. (T, B, C, H, W)."""

    def __init__(self, in_channels, out_channels, stride, make_neuron):
        super().__init__()
        self.conv1, self.neuron1 = conv_bn(in_channels, out_channels, 3, stride), make_neuron()
        self.conv2, self.neuron2 = conv_bn(out_channels, out_channels), make_neuron()
        self.shortcut = (
            nn.Identity()
            if stride == 1 and in_channels == out_channels
            else conv_bn(in_channels, out_channels, 1, stride)
        )

    def forward(self, x):
        return self.neuron2(self.conv2(self.neuron1(self.conv1(x))) + self.shortcut(x))


@MODELS.register_module()
class SpikingResNet(SpikingBackbone):
    """Spiking ResNet with a 3x3 stem of stride 1.

    Every stage can be tapped, at strides 1, 2, 4, ... Outputs are spikes. The published classifiers pool the last
    stage over space; ResNet-19 then has two linear layers with a neuron between them (512 -> 256, fires, -> classes),
    which are a classification head's affair.

    With `tdbn`, batch norms begin as threshold-dependent ones, y = weight * (x - mean) / std + bias with the weight
    alpha * v_threshold in place of 1, so that currents spread as wide as the threshold is high: alpha = 1, and
    1 / sqrt(2) for the two that are added up at the end of a block. (In the paper this factor stands beside a weight
    of 1. The functions that can be learned are the same.)

    Args:
        depths: blocks of each stage; (3, 3, 2) is ResNet-19.
        widths: channels of each stage; ResNet-18 is (2, 2, 2, 2) of (64, 128, 256, 512).
        stem: channels of the stem.
        tdbn: see above.
        in_channels: channels of the input.
        neuron: config of the neurons; the default is that of the reference implementation.
        **kwargs: T, out_indices, time, recompute, save_spikes, init_cfg: see `SpikingBackbone`.
    """

    official_names = [
        (r'^fc\d?(_s)?\.', None),
        # the published modules hold their layers under two names, and their batch norms under four
        (r'_s\.|\.seqbn\.', None),
        *((rf'^layer{i + 1}\.', f'stages.{i}.') for i in range(4)),
        (r'\.downsample\.layer\.module\.', '.shortcut.conv.'),
        (r'\.downsample\.bn\.bn\.', '.shortcut.bn.'),
        (r'^conv1\.', 'stem.conv.'),
        (r'^bn1\.bn\.', 'stem.bn.'),
        (r'\.conv([12])\.', r'.conv\1.conv.'),
        (r'\.bn([12])\.bn\.', r'.conv\1.bn.'),
    ]

    def __init__(
        self,
        depths=(3, 3, 2),
        widths=(128, 256, 512),
        stem=64,
        tdbn=False,
        in_channels=3,
        neuron=dict(type='LIF', tau=2.0, decay_input=False, detach_reset=False),
        **kwargs,
    ):
        super().__init__(neuron=neuron, **kwargs)
        if len(depths) != len(widths):
            raise ConfigError(f'SpikingResNet: depths {depths} and widths {widths} must have one number a stage')
        self.stem, self.stem_neuron = conv_bn(in_channels, stem), self.neuron()
        self.stages = nn.ModuleList()
        for i, (c_in, c_out, depth) in enumerate(zip([stem, *widths], widths, depths)):
            self.stages.append(
                nn.Sequential(
                    *(
                        SpikingBlock(c_in if j == 0 else c_out, c_out, 2 if i and j == 0 else 1, self.neuron)
                        for j in range(depth)
                    )
                )
            )
        if tdbn:
            self._scale_norms(self.stem_neuron.v_threshold)
        self.tap(widths)

    def _scale_norms(self, v_threshold):
        for name, module in self.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                alpha = 1 / math.sqrt(2) if '.conv2.' in name or '.shortcut.' in name else 1.0
                nn.init.constant_(module.weight, alpha * v_threshold)

    @staticmethod
    def sizes_of(weights):
        """The arguments of the constructor that the weights tell."""
        stages = range(count(weights, 'stages'))
        return dict(
            depths=[count(weights, f'stages.{i}') for i in stages],
            widths=[len(weights[f'stages.{i}.0.conv1.bn.weight']) for i in stages],
            stem=len(weights['stem.bn.weight']),
            in_channels=weights['stem.conv.weight'].shape[1],
        )

    def forward_stages(self, x):
        x = self.stem_neuron(encode(self.stem, x, self.T))
        for stage in self.stages:
            x = self.run(stage, x)
            yield x
