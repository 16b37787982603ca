"""Spiking ResNets have the layers of the ResNets that they are named after: to the last parameter."""

import pytest
import torch
from torchvision.models import resnet

from a2sg_zoo.registry import MODELS


def parameters(network):
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    'name, block, depths',
    [
        ('resnet18', 'basic', (2, 2, 2, 2)),
        ('resnet34', 'basic', (3, 4, 6, 3)),
        ('resnet50', 'bottleneck', (3, 4, 6, 3)),
        ('resnet101', 'bottleneck', (3, 4, 23, 3)),
        ('resnet152', 'bottleneck', (3, 8, 36, 3)),
    ],
)
def test_sew_resnet_counts_as_resnet(name, block, depths):
    with torch.device('meta'):
        sew = MODELS.build(dict(type='SEWResNet', depths=depths, block=block))
        rectified = getattr(resnet, name)()
    assert parameters(sew) == parameters(rectified) - parameters(rectified.fc)
    assert sew.out_channels == [rectified.fc.in_features]
