"""The pyramids: torchvision's own is the reference for the plain one."""

from collections import OrderedDict

import pytest
import torch
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.necks import FeaturePyramid
from a2sg_zoo.models.segmentors import SpikingFPN

CHANNELS = [4, 6, 8]


def levels(*leading):
    return [torch.randn(*leading, c, size, size + 1) for c, size in zip(CHANNELS, (16, 8, 4))]


@pytest.mark.parametrize(
    'extra, num_outs, blocks',
    [('pool', None, None), ('pool', 4, LastLevelMaxPool()), ('conv', 5, LastLevelP6P7(12, 12))],
)
def test_plain_pyramid_is_that_of_torchvision(extra, num_outs, blocks):
    own, theirs = FeaturePyramid(CHANNELS, 12, num_outs, extra), FeaturePyramidNetwork(CHANNELS, 12, blocks)
    weights = {
        name.replace('extra_blocks.p6', 'extra_blocks.convs.0').replace('extra_blocks.p7', 'extra_blocks.convs.1'): x
        for name, x in theirs.state_dict().items()
    }
    own.load_state_dict(weights)
    inputs = levels(2)
    expected = theirs(OrderedDict((str(i), x) for i, x in enumerate(inputs))).values()
    found = own(inputs)
    assert len(found) == len(expected) == len(own.out_channels)
    for a, b in zip(found, expected):
        assert torch.equal(a, b)


def test_spiking_pyramid_adds_coarser_levels():
    torch.manual_seed(0)
    three = SpikingFPN(CHANNELS, 12).eval()
    five = SpikingFPN(CHANNELS, 12, num_outs=5).eval()
    five.load_state_dict(three.state_dict())
    inputs = levels(2, 1)
    expected, found = three(inputs), five(inputs)
    assert five.out_channels == [12] * 5
    assert all(map(torch.equal, expected, found))
    assert torch.equal(found[3], expected[2][..., ::2, ::2]) and found[4].shape == (2, 1, 12, 1, 2)


@pytest.mark.parametrize('neck', [FeaturePyramid, SpikingFPN])
def test_fewer_outputs_than_inputs(neck):
    with pytest.raises(ConfigError, match='num_outs'):
        neck(CHANNELS, 12, num_outs=2)


def test_unknown_kind_of_coarser_levels():
    with pytest.raises(ConfigError, match='extra'):
        FeaturePyramid(CHANNELS, 12, extra='spline')
