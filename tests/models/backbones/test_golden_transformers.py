"""Published transformers of which no outputs are stored: equal to their definition, written out in autograd.

The definition below runs on weights under the official names, so it checks the converters as well. It covers the forms
and sizes beside those of `test_golden`.
"""

import re

import pytest
import torch
import torch.nn.functional as F

from a2sg_zoo.registry import MODELS
from tests.models.backbones.golden import relative
from tests.models.backbones.test_golden_cnn import Weights, sigmoid

WIDTH = 32
HEADS = 4
DROPPED = r'head\.|.*\.norm[12]\.|.*\.talking_heads\.'
# published as Conv1d on tokens; every other 1x1 layer is a Conv2d
ON_TOKENS = r'(stage\d\.\d\.\w+|block\.\d\.attn)\.(q|k|v|proj)_conv\.weight'


class Spike(torch.autograd.Function):
    """1 if z >= 0: attention sums meet the threshold exactly."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return (z >= 0).to(z.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * sigmoid(*ctx.saved_tensors)


def lif(x, threshold=1.0):
    spikes, v = [], 0
    for current in x:
        v = v + (current - v) / 2
        spikes.append(Spike.apply(v - threshold))
        v = v * (1 - spikes[-1].detach())
    return torch.stack(spikes)


def lif_across_batch(x):
    return lif(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def pool(x):
    return F.max_pool2d(x.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])


def attention(q, k, v):
    q, k, v = (x.flatten(3).unflatten(2, (HEADS, -1)) for x in (q, k, v))
    y = torch.einsum('tbhdn,tbhdm,tbhem->tbhen', q, k, v) / 8
    return lif(y, 0.5).flatten(2, 3)


class Published(Weights):
    """Layers by the names that most of the published code gives them."""

    def layer(self, x, name, channels, kernel_size=3, stride=1, bias=False):
        return self.conv_bn(x, f'{name}_conv', f'{name}_bn', channels, kernel_size, stride, bias)

    def linear(self, x, name, channels=None, bias=True):
        return self.layer(x, name, channels or x.shape[2], 1, bias=bias)

    def spikes(self, x, name, letters):
        return [lif(self.linear(x, f'{name}.{letter}', bias=False)) for letter in letters]


def spikingformer(weights, x, depth):
    """The ImageNet form."""
    x, outputs = weights.layer(x, 'patch_embed.proj', WIDTH // 8), []
    for i, channels in enumerate((WIDTH // 4, WIDTH // 2, WIDTH, WIDTH)):
        x = weights.layer(pool(lif(x)), f'patch_embed.proj{i + 1}', channels)
        outputs.append(x)
    for i in range(depth):
        name = f'block.{i}'
        q, k, v = weights.spikes(lif(x), f'{name}.attn', 'qkv')
        x = x + weights.linear(attention(q, k, v).view_as(q), f'{name}.attn.proj')
        y = weights.linear(lif(x), f'{name}.mlp.mlp1', 2 * WIDTH)
        x = x + weights.linear(lif(y), f'{name}.mlp.mlp2', WIDTH)
        weights.draw(f'{name}.norm1.weight', WIDTH, 0, 1)
    return [*outputs[:3], x]


def masked(q, k, v):
    """Spike-driven self-attention before its last layer."""
    return q * lif((k * v).sum((3, 4), keepdim=True), 0.5)


def masked_with_poolings(q, k, v):
    """The same for CIFAR10-DVS, in the published layout: the poolings act on the last two axes of five."""
    pool3d = torch.nn.MaxPool3d((1, 3, 3), 1, (0, 1, 1))
    q, k, v = (x.flatten(3).unflatten(2, (HEADS, -1)).transpose(3, 4) for x in (q, pool3d(k), pool3d(v)))
    y = pool3d(q * lif(pool3d(k * v).sum(3, keepdim=True), 0.5))
    return y.transpose(3, 4).flatten(2, 3)


def sdt(weights, x, depth, pooling, attend=masked):
    outputs = []
    for suffix, pools, divisor in zip(('', '1', '2', '3'), pooling, (8, 4, 2, 1)):
        x = weights.conv_bn(x, f'patch_embed.proj_conv{suffix}', f'patch_embed.proj_bn{suffix}', WIDTH // divisor)
        # the last stage pools membrane potentials
        x = x if suffix == '3' else lif(x)
        x = pool(x) if pools == '1' else x
        outputs.append(x)
    x = x + weights.layer(lif(x), 'patch_embed.rpe', WIDTH)
    for i in range(depth):
        name = f'block.{i}'
        q, k, v = weights.spikes(lif(x), f'{name}.attn', 'qkv')
        x = x + weights.linear(attend(q, k, v).view_as(x), f'{name}.attn.proj')
        y = weights.linear(lif(x), f'{name}.mlp.fc1', 2 * WIDTH)
        x = x + weights.linear(lif(y), f'{name}.mlp.fc2', WIDTH)
        weights.draw(f'{name}.attn.talking_heads.weight', (HEADS, HEADS, 1), 0, 1)
    return [*outputs[:3], x]


class PublishedQKFormer(Published):
    """Blocks and patch embeddings; `mlp`, `ssa` are names that differ between the published forms."""

    mlp, ssa, last_neuron = 'mlp', 'ssa', staticmethod(lif)

    def add_mlp(self, x, name):
        y = lif(self.linear(x, f'{name}.mlp.{self.mlp}1', 2 * x.shape[2]))
        return x + lif(self.linear(y, f'{name}.mlp.{self.mlp}2', x.shape[2]))

    def qk_block(self, x, name):
        q, k = (s.unflatten(2, (HEADS, -1)) for s in self.spikes(x, f'{name}.tssa', 'qk'))
        y = lif(q.sum(3, keepdim=True), 0.5) * k
        return self.add_mlp(x + lif(self.linear(y.flatten(2, 3), f'{name}.tssa.proj')), name)

    def ssa_block(self, x, name):
        y = attention(*self.spikes(x, f'{name}.{self.ssa}', 'qkv')).view_as(x)
        return self.add_mlp(x + self.last_neuron(self.linear(y, f'{name}.{self.ssa}.proj')), name)

    def embed(self, x, name, first, second, channels, stride):
        """Two convolutions beside a shortcut; `first`, `second`: (name, channels, whether it pools)."""
        y = x
        for layer, width, pools in (first, second):
            y = self.layer(y, f'{name}.{layer}', width)
            y = lif(pool(y) if pools else y)
        return y + lif(self.layer(x, f'{name}.proj_res', channels, 1, stride))


def qkformer_imagenet(weights, x, depth):
    weights.mlp, weights.ssa = 'fc', 'attn'
    x = lif(pool(weights.layer(x, 'patch_embed1.proj', WIDTH // 8)))
    first = x = weights.qk_block(
        weights.embed(x, 'patch_embed1', ('proj1', WIDTH // 4, True), ('proj2', WIDTH // 4, False), WIDTH // 4, 2),
        'stage1.0',
    )
    x = weights.embed(x, 'patch_embed2', ('proj3', WIDTH // 2, True), ('proj4', WIDTH // 2, False), WIDTH // 2, 2)
    second = x = weights.qk_block(weights.qk_block(x, 'stage2.0'), 'stage2.1')
    x = weights.embed(x, 'patch_embed3', ('proj3', WIDTH, True), ('proj4', WIDTH, False), WIDTH, 2)
    for i in range(depth - 3):
        x = weights.ssa_block(x, f'stage3.{i}')
    return [first, second, x]


def qkformer_dvs(weights, x, depth):
    x = lif(weights.layer(x, 'patch_embed1.proj', WIDTH // 16))
    x = lif(pool(weights.layer(x, 'patch_embed1.proj1', WIDTH // 8)))
    first = x = weights.qk_block(
        weights.embed(x, 'patch_embed1', ('proj2', WIDTH // 4, True), ('proj3', WIDTH // 2, True), WIDTH // 2, 4),
        'stage1.0',
    )
    x = weights.embed(x, 'patch_embed2', ('proj', WIDTH, False), ('proj4', WIDTH, True), WIDTH, 2)
    for i in range(depth - 1):
        x = weights.ssa_block(x, f'stage2.{i}')
    return [first, x]


def check(config, weights, expected, x):
    """The backbone agrees with `expected`, the output of every stage at `weights`, and in its gradient at x."""
    weights.draw('head.weight', (10, WIDTH), -1, 1)
    official = {
        name: w.squeeze(-1) if re.fullmatch(ON_TOKENS, name) and config['type'] != 'SpikeDrivenTransformer' else w
        for name, w in weights.items()
    }
    backbone = (
        MODELS.build(
            {
                'embed_dims': WIDTH,
                'mlp_ratio': 2,
                'in_channels': x.shape[2],
                'T': len(x),
                **config,
                'out_indices': range(len(expected)),
                'time': 'keep',
            }
        )
        .double()
        .eval()
    )
    converted, dropped = backbone.from_official(official)
    assert all(re.match(DROPPED, name) for name in dropped), dropped
    result = backbone.load_state_dict(converted, strict=False)
    assert not result.unexpected_keys
    assert all(name.endswith(('.beta', '.num_batches_tracked')) for name in result.missing_keys), result.missing_keys
    for ours, theirs in zip(backbone(x), expected, strict=True):
        assert theirs.any()
        assert relative(ours, theirs.detach()) <= 1e-9
        cotangent = torch.randn_like(theirs)
        gradients = [torch.autograd.grad((y * cotangent).sum(), x, retain_graph=True)[0] for y in (ours, theirs)]
        assert gradients[1].any()
        assert relative(*gradients) <= 1e-7


def frames(T, channels, size):
    return torch.rand(T, 2, channels, size, size, dtype=torch.double, requires_grad=True)


# 32 pixels make 4 tokens of 8 channels a head, 64 pixels 16: one for each order of the attention's product
@pytest.mark.parametrize('T, size', [(1, 64), (3, 32)])
def test_spikingformer(T, size):
    weights, x = Published(), frames(T, 3, size)
    check(dict(type='Spikingformer', depth=3, num_heads=HEADS), weights, spikingformer(weights, x, 3), x)


@pytest.mark.parametrize('pooling', ['1111', '0111', '0011'])
def test_spike_driven_transformer(pooling):
    weights, x = Published(), frames(3, 2, 32)
    check(dict(type='SpikeDrivenTransformer', depth=3, pooling=pooling), weights, sdt(weights, x, 3, pooling), x)


def test_spike_driven_transformer_for_events():
    weights, x = Published(), frames(3, 2, 32)
    config = dict(
        type='SpikeDrivenTransformer', depth=2, pooling='0011', pooled_attention=True, num_heads=HEADS, in_channels=2
    )
    check(config, weights, sdt(weights, x, 2, '0011', masked_with_poolings), x)


@pytest.mark.parametrize('carry_over', [False, True])
@pytest.mark.parametrize(
    'form, published, depth, channels', [('imagenet', qkformer_imagenet, 5, 3), ('dvs', qkformer_dvs, 2, 2)]
)
def test_qkformer(form, published, depth, channels, carry_over):
    weights, x = PublishedQKFormer(), frames(3, channels, 64)
    if carry_over:
        weights.last_neuron = lif_across_batch
    config = dict(type='QKFormer', form=form, depth=depth, num_heads=HEADS, carry_over=carry_over)
    check(config, weights, published(weights, x, depth), x)
