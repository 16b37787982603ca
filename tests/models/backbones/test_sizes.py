"""The published networks have as many parameters as their sources state.

Counted are the backbone and the classifier; not the layers that the published code defines and never calls (the layer
norms of Spikformer's and Spikingformer's blocks, the talking heads of the Spike-driven Transformer). The sources count
the same, and round or cut to the digits that they print.
"""

from typing import NamedTuple

import pytest
import torch

from a2sg_zoo.registry import MODELS


class Size(NamedTuple):
    """A published network.

    Attributes:
        millions: parameters, in the digits that the source prints.
        source: who states them.
        config: of the backbone.
        classes: of a classifier of one linear layer.
    """

    millions: str
    source: str
    config: dict
    classes: int = 1000


def transformer(type, depth, width, **kwargs):
    heads = {} if type == 'SpikeDrivenTransformer' else dict(num_heads=8)
    return dict(type=type, depth=depth, embed_dims=width, **heads, **kwargs)


SPIKINGFORMER = "Spikingformer's README"
SDT = 'Yao et al., NeurIPS 2023'
META = 'comments in classification/models.py of its repository'
EFFICIENT = 'comments in SDT_V3/Classification/Model_Base/models.py of its repository'
QKFORMER = "QKFormer's README"
SPIKFORMER = 'Zhou et al., ICLR 2023'

SIZES = {
    'spikformer_8_384': Size('16.81', SPIKINGFORMER, transformer('Spikformer', 8, 384)),
    'spikformer_8_512': Size('29.68', SPIKINGFORMER, transformer('Spikformer', 8, 512)),
    'spikformer_8_768': Size('66.34', SPIKINGFORMER, transformer('Spikformer', 8, 768)),
    'spikformer_cifar_4_256': Size('4.15', SPIKFORMER, transformer('Spikformer', 4, 256, form='cifar'), 10),
    'spikformer_cifar_2_384': Size('5.76', SPIKFORMER, transformer('Spikformer', 2, 384, form='cifar'), 10),
    'spikformer_cifar_4_384': Size('9.32', SPIKFORMER, transformer('Spikformer', 4, 384, form='cifar'), 10),
    'spikingformer_8_384': Size('16.81', SPIKINGFORMER, transformer('Spikingformer', 8, 384)),
    'spikingformer_8_512': Size('29.68', SPIKINGFORMER, transformer('Spikingformer', 8, 512)),
    'spikingformer_8_768': Size('66.34', SPIKINGFORMER, transformer('Spikingformer', 8, 768)),
    'spikingformer_cifar_4_256': Size('4.15', SPIKINGFORMER, transformer('Spikingformer', 4, 256, form='cifar'), 10),
    'spikingformer_cifar_2_384': Size('5.76', SPIKINGFORMER, transformer('Spikingformer', 2, 384, form='cifar'), 10),
    'spikingformer_cifar_4_384': Size('9.32', SPIKINGFORMER, transformer('Spikingformer', 4, 384, form='cifar'), 10),
    'spikingformer_dvs_2_256': Size('2.57', SPIKINGFORMER, transformer('Spikingformer', 2, 256, in_channels=2), 10),
    'sdt_8_384': Size('16.81', SDT, transformer('SpikeDrivenTransformer', 8, 384)),
    'sdt_6_512': Size('23.37', SDT, transformer('SpikeDrivenTransformer', 6, 512)),
    'sdt_8_512': Size('29.68', SDT, transformer('SpikeDrivenTransformer', 8, 512)),
    'sdt_10_512': Size('36.01', SDT, transformer('SpikeDrivenTransformer', 10, 512)),
    'sdt_8_768': Size('66.34', SDT, transformer('SpikeDrivenTransformer', 8, 768)),
    'meta_spikeformer_15m': Size('15', META, dict(type='MetaSpikeFormer', embed_dims=(64, 128, 256, 360))),
    'meta_spikeformer_31m': Size('31', META, dict(type='MetaSpikeFormer', embed_dims=(96, 192, 384, 480))),
    'meta_spikeformer_55m': Size('55', META, dict(type='MetaSpikeFormer', embed_dims=(128, 256, 512, 640))),
    'e_spikeformer_5m': Size('5.1', EFFICIENT, dict(type='ESpikeFormer', embed_dims=(32, 64, 128, 192))),
    'e_spikeformer_10m': Size('10.0', EFFICIENT, dict(type='ESpikeFormer', embed_dims=(48, 96, 192, 240))),
    'e_spikeformer_19m': Size('19.0', EFFICIENT, dict(type='ESpikeFormer', embed_dims=(64, 128, 256, 360))),
    'qkformer_10_384': Size('16.47', QKFORMER, transformer('QKFormer', 10, 384)),
    'qkformer_10_512': Size('29.08', QKFORMER, transformer('QKFormer', 10, 512)),
    'qkformer_10_768': Size('64.96', QKFORMER, transformer('QKFormer', 10, 768)),
    'sew_resnet34': Size('21.79', SPIKFORMER, dict(type='SEWResNet', depths=(3, 4, 6, 3))),
    'sew_resnet50': Size('25.56', SPIKFORMER, dict(type='SEWResNet', depths=(3, 4, 6, 3), block='bottleneck')),
    'sew_resnet101': Size('44.55', SPIKFORMER, dict(type='SEWResNet', depths=(3, 4, 23, 3), block='bottleneck')),
    'sew_resnet152': Size('60.19', QKFORMER, dict(type='SEWResNet', depths=(3, 8, 36, 3), block='bottleneck')),
    # no source of their own: networks of rectifiers with the same layers
    'sew_resnet18': Size('11.69', "torchvision's resnet18", dict(type='SEWResNet')),
    'resnet18': Size(
        '11.17',
        'ResNet18 of github.com/kuangliu/pytorch-cifar',
        dict(type='SpikingResNet', depths=(2, 2, 2, 2), widths=(64, 128, 256, 512)),
        10,
    ),
}


def parameters(config):
    with torch.device('meta'):
        backbone = MODELS.build(config)
    return sum(p.numel() for p in backbone.parameters()), backbone.out_channels[-1]


@pytest.mark.parametrize('name', SIZES)
def test_number_of_parameters(name):
    size = SIZES[name]
    number, channels = parameters(size.config)
    number += (channels + 1) * size.classes
    last_digit = 10 ** -len(size.millions.partition('.')[2])
    assert abs(number / 1e6 - float(size.millions)) < last_digit, f'{number} here, {size.millions} M by {size.source}'


def test_resnet19():
    number, channels = parameters(dict(type='SpikingResNet'))
    number += (channels + 1) * 256 + 257 * 10
    assert round(number / 1e6, 2) == 12.63  # as Zhou et al., ICLR 2023, state


def test_vggsnn():
    # no source states a number; the layers are those of models/VGG_models.py of TET's repository
    channels = [2, 64, 128, 256, 256, 512, 512, 512, 512]
    assert parameters(dict(type='VGGSNN'))[0] == sum(9 * a * b + 3 * b for a, b in zip(channels, channels[1:]))
