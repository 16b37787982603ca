"""Which tensors depend on the number of classes, and on that alone."""

import pytest
import torch

from a2sg_zoo.hub.published import build, class_layers_of_another_size
from a2sg_zoo.hub.resizing import resized_config
from tests.hub.tiny import CLASSIFIER, DESCRIPTIONS, SEGMENTOR

SPIKFORMER = dict(CLASSIFIER['backbone'], out_indices=[-1])
FPN = dict(type='FPN', in_channels=[16], out_channels=32, num_outs=1)


def detector(kind, **options):
    head = dict(type=kind, in_channels=32, num_classes=3, **options)
    return dict(type='SpikingDetector', backbone=dict(SPIKFORMER, time='mean'), neck=FPN, detection_head=head)


def head(**options):
    return dict(CLASSIFIER, head=dict(CLASSIFIER['head'], **options))


def weights_and_network(config, there=3, here=7):
    """Weights for a number of classes, and a network and its config for another."""
    resized = [resized_config(config, n) for n in (there, here)]
    with torch.device('meta'):
        networks = [build(one, 'test') for one in resized]
    return networks[0].state_dict(), networks[1], resized[1]


@pytest.mark.parametrize(
    'config, names',
    [
        (CLASSIFIER, ['head.layers.0.weight', 'head.layers.0.bias']),
        (SEGMENTOR, ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias']),
        (
            dict(SEGMENTOR, auxiliary_head=[SEGMENTOR['decode_head']] * 2),
            [
                f'{name}.conv_seg.{part}'
                for name in ('decode_head', 'auxiliary_head.0', 'auxiliary_head.1')
                for part in ('weight', 'bias')
            ],
        ),
        (
            detector('RetinaNetHead', anchor_sizes=[32]),
            [f'detection_head.head.classification_head.cls_logits.{part}' for part in ('weight', 'bias')],
        ),
        (
            detector('FasterRCNNHead', anchor_sizes=[32], fc_channels=8),
            [
                f'detection_head.roi_heads.box_predictor.{layer}.{part}'
                for layer in ('cls_score', 'bbox_pred')
                for part in ('weight', 'bias')
            ],
        ),
    ],
    ids=['classification', 'segmentation', 'auxiliary heads', 'anchors', 'background'],
)
@pytest.mark.parametrize('there, here', [(3, 7), (5, 4)])
def test_the_last_layer(config, names, there, here):
    weights, network, own = weights_and_network(config, there, here)
    assert class_layers_of_another_size(network, own, weights) == dict.fromkeys(names, (here, there))
    assert class_layers_of_another_size(network, own, network.state_dict()) == {}


def test_several_outputs_of_a_class():
    config = dict(CLASSIFIER, head=dict(type='VotingHead', in_channels=16, num_classes=3, hidden=8))
    weights, network, own = weights_and_network(config)
    found = class_layers_of_another_size(network, own, weights)
    assert found and {*found.values()} == {(7, 3)}


def test_layers_that_differ_in_more_do_not_count():
    weights, _, _ = weights_and_network(head(hidden=8))
    _, network, own = weights_and_network(head(hidden=12))
    assert 'head.layers.2.weight' not in class_layers_of_another_size(network, own, weights)  # of other inputs, too
    weights, _, _ = weights_and_network(detector('RetinaNetHead', anchor_sizes=[32], scales=1))
    _, network, own = weights_and_network(detector('RetinaNetHead', anchor_sizes=[32], scales=3))
    assert not any('bbox' in name for name in class_layers_of_another_size(network, own, weights))


def test_a_network_without_a_number_of_classes():
    network = build(DESCRIPTIONS['classification'].model, 'test')
    weights = {**network.state_dict(), 'head.layers.0.weight': torch.zeros(5, 16)}
    assert class_layers_of_another_size(network, {}, weights) == {}
