"""Which tensors depend on the number of classes, and on that alone."""

import pytest
import torch
from torch import nn

from a2sg_zoo.hub.published import build
from a2sg_zoo.hub.resizing import class_layers_of_another_size, resized_config
from tests.hub.tiny import DESCRIPTIONS, SEGMENTOR, network

LAST_LAYER = {'classification': 'head.layers.0', 'segmentation': 'decode_head.conv_seg'}


@pytest.mark.parametrize('task', LAST_LAYER)
def test_the_last_layer(task):
    weights = network(task).state_dict()
    wider = build(resized_config(DESCRIPTIONS[task].model, num_classes=7), 'test')
    found = class_layers_of_another_size(wider, weights)
    assert found == {f'{LAST_LAYER[task]}.{part}': (7, 3) for part in ('weight', 'bias')}
    assert class_layers_of_another_size(network(task), weights) == {}


def test_auxiliary_heads():
    auxiliary = dict(SEGMENTOR['decode_head'], type='FPNHead')
    several = dict(SEGMENTOR, auxiliary_head=[auxiliary, auxiliary])
    weights = build(several, 'test').state_dict()
    wider = build(resized_config(several, num_classes=5), 'test')
    heads = ('decode_head', 'auxiliary_head.0', 'auxiliary_head.1')
    assert {*class_layers_of_another_size(wider, weights)} == {
        f'{head}.conv_seg.{part}' for head in heads for part in ('weight', 'bias')
    }


def test_layers_that_differ_in_more_do_not_count():
    model = nn.ModuleDict(dict(body=nn.Linear(8, 3), head=nn.Linear(8, 3)))
    model['head'].num_classes = 3
    other = {'head.weight': torch.zeros(5, 9), 'head.bias': torch.zeros(5, 1), 'body.weight': torch.zeros(5, 8)}
    assert class_layers_of_another_size(model, other) == {}
    model['head'].num_classes = 4  # its layer is not the one of the classes
    assert class_layers_of_another_size(model, {'head.weight': torch.zeros(5, 8)}) == {}
