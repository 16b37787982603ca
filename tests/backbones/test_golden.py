"""The backbones are the published networks: equal to stored outputs of the official code, in float64."""

import pytest
import torch

from a2sg_zoo.registry import MODELS
from tests.backbones.golden import Golden

SIGMOID = dict(type='LIF', tau=2.0, surrogate=dict(type='Sigmoid', alpha=4.0))


def spikformer(form):
    def build(k):
        return dict(type='Spikformer', embed_dims=k['embed_dims'], depth=k['depths'], num_heads=k['num_heads'],
                    mlp_ratio=k.get('mlp_ratios', 4), T=k['T'], form=form, neuron=SIGMOID)
    return build


def meta_spikeformer(k):
    return dict(type='MetaSpikeFormer', embed_dims=k['embed_dim'], num_heads=k['num_heads'],
                mlp_ratio=k['mlp_ratios'], T=k['T'], neuron=SIGMOID)


def pooled_head(golden, backbone, x):
    """Mean over space, linear head, mean over time."""
    return golden.linear('head', backbone(x)[-1].mean((3, 4))).mean(0)


def spiking_head(golden, backbone, x):
    """Mean over space, neuron, linear head, mean over time: for backbones that put out membrane potentials."""
    return golden.linear('head', backbone.neuron().double().eval()(backbone(x)[-1].mean((3, 4)))).mean(0)


CASES = {
    'spikformer_cifar_e64_d2_T4': (spikformer('cifar'), pooled_head),
    'spikformer_imagenet_e64_d2_T4': (spikformer('imagenet'), pooled_head),
    'meta_spikeformer_e16_T4': (meta_spikeformer, spiking_head),
}


@pytest.mark.parametrize('name', CASES)
def test_equals_published_network(name, shared):
    golden = Golden(shared('golden', f'{name}.safetensors'))
    config, head = CASES[name]
    backbone = MODELS.build({**config(golden.kwargs), 'time': 'keep'})
    dropped = golden.load(backbone)
    assert all(k.startswith('head.') or '.norm' in k for k in dropped)
    output, grad = golden.errors(lambda x: head(golden, backbone, x))
    print(f'{name}: output {output:.1e}, input gradient {grad:.1e}')
    assert output <= 1e-9 and grad <= 1e-7


def test_event_frames_equal_a_repeated_image():
    backbone = MODELS.build(dict(type='Spikformer', embed_dims=32, depth=1, num_heads=4, T=3)).eval()
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(backbone(x)[0], backbone(x.expand(3, 2, 3, 32, 32))[0])
