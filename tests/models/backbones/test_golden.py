"""The backbones are the published networks: equal to stored outputs of the official code, in float64."""

import re

import pytest
import torch

from a2sg_zoo.registry import MODELS
from tests.models.backbones.golden import Golden

# heads, layers that the published code never calls, and second names of the same tensor
DROPPED = r'(head|fc\d?(_s)?)\.|.*\.norm[12]\.|.*\.talking_heads\.|.*_s\.|.*\.seqbn\.'
SIGMOID = dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0))


def transformer(type, **kwargs):
    """Config of a transformer of one width, from the arguments of the published code."""

    def build(k):
        return dict(
            type=type,
            embed_dims=k['embed_dims'],
            depth=k['depths'],
            num_heads=k['num_heads'],
            mlp_ratio=k.get('mlp_ratios', 4),
            T=k['T'],
            neuron=SIGMOID,
            **kwargs,
        )

    return build


def sdt(k):
    return dict(
        type='SpikeDrivenTransformer',
        embed_dims=k['embed_dims'],
        depth=k['depths'],
        mlp_ratio=k.get('mlp_ratios', 4),
        pooling=k['pooling_stat'],
        T=k['T'],
        neuron=SIGMOID,
    )


def meta_spikeformer(k):
    return dict(
        type='MetaSpikeFormer',
        embed_dims=k['embed_dim'],
        num_heads=k['num_heads'],
        mlp_ratio=k['mlp_ratios'],
        T=k['T'],
        neuron=SIGMOID,
    )


def e_spikeformer(k):
    return dict(
        type='ESpikeFormer', embed_dims=k['embed_dim'], num_heads=k['num_heads'], mlp_ratio=k.get('mlp_ratios', 4)
    )


def resnet(k):
    return dict(type='SpikingResNet', depths=k['layers'], widths=k['widths'], stem=k['stem'], T=k['T'])


def sew_resnet(k):
    return dict(
        type='SEWResNet',
        depths=k['layers'],
        widths=k['widths'],
        connect=k['connect_f'],
        block=k.get('block', 'basic'),
        T=k['T'],
        neuron=dict(type='IF', surrogate=dict(type='Sigmoid', alpha=4.0)),
    )


def pooled_head(golden, backbone, x):
    """Mean over space, linear head, mean over time."""
    name = 'fc' if 'fc.weight' in golden.state_dict else 'head'
    return golden.linear(name, backbone(x)[-1].mean((3, 4))).mean(0)


def spiking_head(golden, backbone, x):
    """Mean over space, neuron, linear head, mean over time: for backbones that put out membrane potentials."""
    return golden.linear('head', backbone.neuron().double().eval()(backbone(x)[-1].mean((3, 4)))).mean(0)


def counting_head(golden, backbone, x):
    """As `spiking_head`, but the neuron's integer spikes are not divided by their largest number."""
    neuron = backbone.neuron()
    return golden.linear('head', neuron.levels * neuron(backbone(x)[-1].mean((3, 4)))).mean(0)


def two_layer_head(golden, backbone, x):
    """Mean over space, linear layer, neuron, linear layer; batch first, and no mean over time."""
    hidden = golden.linear('fc1', backbone(x)[-1].mean((3, 4)))
    return golden.linear('fc2', backbone.neuron().double().eval()(hidden)).transpose(0, 1)


CASES = {
    'spikformer_cifar_e64_d2_T4': (transformer('Spikformer', form='cifar'), pooled_head),
    'spikformer_imagenet_e64_d2_T4': (transformer('Spikformer', form='imagenet'), pooled_head),
    'spikingformer_cifar_e64_d2_T4': (transformer('Spikingformer', form='cifar'), pooled_head),
    'sdt_v1_e64_d2_T4': (sdt, spiking_head),
    'meta_spikeformer_e16_T4': (meta_spikeformer, spiking_head),
    'e_spikeformer_e16': (e_spikeformer, counting_head),
    'qkformer_cifar_e64_d4_T4': (transformer('QKFormer', form='cifar', carry_over=True), pooled_head),
    'tet_resnet19_w32_T4': (resnet, two_layer_head),
    'sew_resnet18_w16_T4': (sew_resnet, pooled_head),
}


@pytest.mark.parametrize('name', CASES)
def test_equals_published_network(name, golden_file):
    golden = Golden(golden_file(name))
    config, head = CASES[name]
    backbone = MODELS.build({**config(golden.kwargs), 'time': 'keep'})
    dropped = golden.load(backbone)
    assert all(re.match(DROPPED, k) for k in dropped), dropped
    output, grad = golden.errors(lambda x: head(golden, backbone, x))
    print(f'{name}: output {output:.1e}, input gradient {grad:.1e}')
    assert output <= 1e-9 and grad <= 1e-7


def test_event_frames_equal_a_repeated_image():
    backbone = MODELS.build(dict(type='Spikformer', embed_dims=32, depth=1, num_heads=4, T=3)).eval()
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(backbone(x)[0], backbone(x.expand(3, 2, 3, 32, 32))[0])
