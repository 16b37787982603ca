"""Feature pyramid and semantic FPN head whose convolutions are fed by spikes.

The plain counterparts are MMSegmentation's `FPN` and `FPNHead`, on features averaged over time.
"""

from math import log2

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import nn

from a2sg_zoo.models.layers import conv_bn
from a2sg_zoo.registry import MODELS, NEURONS


def resize(x, size, mode):
    """Spatial resize of (T, B, C, H, W) to `size` = (H', W')."""
    aligned = dict(align_corners=False) if mode == 'bilinear' else {}
    return F.interpolate(x.flatten(0, 1), size, mode=mode, **aligned).unflatten(0, x.shape[:2])


class SpikingConv(nn.Module):
    """Neuron, convolution, batch norm: membrane potentials in, membrane potentials out."""

    def __init__(self, in_channels, out_channels, kernel_size, neuron):
        super().__init__()
        self.neuron = NEURONS.build(neuron)
        self.project = conv_bn(in_channels, out_channels, kernel_size)

    def forward(self, x):
        return self.project(self.neuron(x))


@MODELS.register_module()
class SpikingFPN(BaseModule):
    """Feature pyramid network on spikes: 1x1 laterals, top-down sums, 3x3 outputs.

    Takes and gives a list of (T, B, C, H, W), finest first; the backbone must keep time (`time='keep'`).

    Args:
        in_channels: channels of each level.
        out_channels: channels of each output.
        neuron: config of the neurons.

    Source: Lin et al., CVPR 2017, with a neuron before each convolution.
    """

    def __init__(self, in_channels, out_channels, neuron=dict(type='LIF', tau=2.0), init_cfg=None):
        super().__init__(init_cfg)
        self.in_channels, self.out_channels = list(in_channels), [out_channels] * len(in_channels)
        self.lateral = nn.ModuleList(SpikingConv(c, out_channels, 1, neuron) for c in in_channels)
        self.output = nn.ModuleList(SpikingConv(out_channels, out_channels, 3, neuron) for _ in in_channels)

    def forward(self, inputs):
        levels = [lateral(x) for lateral, x in zip(self.lateral, inputs)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + resize(levels[i], levels[i - 1].shape[-2:], 'nearest')
        return tuple(output(x) for output, x in zip(self.output, levels))


@MODELS.register_module()
class SpikingFPNHead(BaseDecodeHead):
    """Semantic FPN head on spikes: each level is convolved and doubled until it has the finest level's size; the
    levels are added, averaged over time, and classified pixel by pixel.

    Args:
        feature_strides: strides of the inputs, finest first, each a power of 2 times the first.
        neuron: config of the neurons.
        **kwargs: in_channels, channels, num_classes, in_index, dropout_ratio, loss_decode: see MMSegmentation's
            `BaseDecodeHead`.

    Source: Kirillov et al., CVPR 2019, with a neuron before each convolution.
    """

    def __init__(self, feature_strides, neuron=dict(type='LIF', tau=2.0), **kwargs):
        super().__init__(input_transform='multiple_select', **kwargs)
        self.doublings = [round(log2(stride / feature_strides[0])) for stride in feature_strides]
        self.levels = nn.ModuleList()
        for doublings, c_in in zip(self.doublings, self.in_channels):
            widths = [c_in] + [self.channels] * max(1, doublings)
            self.levels.append(nn.ModuleList(SpikingConv(a, b, 3, neuron) for a, b in zip(widths, widths[1:])))

    def forward(self, inputs):
        inputs = self._transform_inputs(inputs)
        finest = inputs[0].shape[-2:]
        total = 0
        for x, convs, doublings in zip(inputs, self.levels, self.doublings):
            for conv in convs:
                x = conv(x)
                if doublings:
                    x = resize(x, (2 * x.shape[-2], 2 * x.shape[-1]), 'bilinear')
            # an odd size does not come back exactly by doubling
            total = total + (x if x.shape[-2:] == finest else resize(x, finest, 'bilinear'))
        return self.cls_seg(total.mean(0))
