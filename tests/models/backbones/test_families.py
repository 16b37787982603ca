"""Every family: shapes at odd sizes, a training step, wrong arguments, and what is particular to one of them."""

import pytest
import torch

from a2sg_zoo.adaptation import attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import ILIF
from a2sg_zoo.registry import MODELS, NEURONS, POLICIES

TRANSFORMER = dict(embed_dims=32, depth=1, num_heads=4)
CONV = dict(embed_dims=(8, 16, 16, 24), depths=(1, 1), num_heads=4, mlp_ratio=2)
# a small network of each kind, and the strides of its stages
FAMILIES = {
    'spikformer_cifar': (dict(type='Spikformer', form='cifar', **TRANSFORMER), (1, 1, 2, 4)),
    'spikformer_imagenet': (dict(type='Spikformer', **TRANSFORMER), (2, 4, 8, 16)),
    'spikformer_dvs': (dict(type='Spikformer', form='dvs', in_channels=2, **TRANSFORMER), (2, 4, 8, 16)),
    'spikingformer_cifar': (dict(type='Spikingformer', form='cifar', **TRANSFORMER), (1, 1, 2, 4)),
    'spikingformer_imagenet': (dict(type='Spikingformer', **TRANSFORMER), (2, 4, 8, 16)),
    'sdt_cifar': (dict(type='SpikeDrivenTransformer', embed_dims=32, depth=1, pooling='0011'), (1, 1, 2, 4)),
    'sdt_imagenet': (dict(type='SpikeDrivenTransformer', embed_dims=32, depth=1), (2, 4, 8, 16)),
    'sdt_dvs': (
        dict(
            type='SpikeDrivenTransformer',
            embed_dims=32,
            depth=1,
            pooling='0011',
            pooled_attention=True,
            num_heads=4,
            in_channels=2,
        ),
        (1, 1, 2, 4),
    ),
    'meta_spikeformer': (dict(type='MetaSpikeFormer', **CONV), (2, 4, 8, 16, 16)),
    'e_spikeformer': (dict(type='ESpikeFormer', **CONV), (2, 4, 8, 16, 16)),
    'qkformer_cifar': (dict(type='QKFormer', form='cifar', **{**TRANSFORMER, 'depth': 3}), (1, 2, 4)),
    'qkformer_imagenet': (dict(type='QKFormer', **{**TRANSFORMER, 'depth': 4}), (4, 8, 16)),
    'qkformer_dvs': (dict(type='QKFormer', form='dvs', in_channels=2, **{**TRANSFORMER, 'depth': 2}), (8, 16)),
    'qkformer_carry': (dict(type='QKFormer', form='cifar', carry_over=True, **{**TRANSFORMER, 'depth': 3}), (1, 2, 4)),
    'resnet19': (dict(type='SpikingResNet', widths=(8, 12, 16), stem=8, tdbn=True), (1, 2, 4)),
    'resnet18': (dict(type='SpikingResNet', depths=(2, 2, 2, 2), widths=(8, 8, 12, 16), stem=8), (1, 2, 4, 8)),
    'resnet9': (dict(type='SpikingResNet9', widths=(8, 16, 16), stem=4), (2, 4, 8)),
    'sew_add': (dict(type='SEWResNet', depths=(1, 1, 2, 1), widths=(8, 8, 12, 16)), (4, 8, 16, 32)),
    'sew_and': (dict(type='SEWResNet', depths=(1, 1, 2, 1), widths=(8, 8, 12, 16), connect='AND'), (4, 8, 16, 32)),
    'sew_iand_bottleneck': (
        dict(type='SEWResNet', depths=(1, 1, 2, 1), widths=(4, 4, 8, 8), connect='IAND', block='bottleneck'),
        (4, 8, 16, 32),
    ),
    'vgg_avg': (dict(type='VGGSNN', widths=(4, 8, 8, 8, 12, 12, 16, 16)), (2, 4, 8, 16)),
    'vgg_stride': (dict(type='VGGSNN', widths=(4, 8, 8, 8, 12, 12, 16, 16), pool='stride'), (2, 4, 8, 16)),
    'resnet9_plain': (
        dict(type='SpikingResNet9', widths=(6, 10), depths=(1, 1), stem=4, shortcuts=False, pool='sum'),
        (2, 4),
    ),
}


def image(backbone, batch, height, width):
    channels = next(m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d)).in_channels
    return torch.rand(batch, channels, height, width)


def excite(backbone):
    """Makes neurons fire at all depths of an untrained network."""
    for module in backbone.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.constant_(module.weight, 1.5)
            torch.nn.init.constant_(module.bias, 0.5)


@pytest.mark.parametrize('T', [1, 3])
@pytest.mark.parametrize('name', FAMILIES)
def test_shapes(name, T):
    config, strides = FAMILIES[name]
    backbone = MODELS.build({**config, 'T': T, 'out_indices': range(len(strides)), 'time': 'keep'}).eval()
    # pooling drops an odd row, all else keeps half of it
    drops = name.startswith(('vgg_avg', 'resnet9'))
    size = (lambda n, stride: n // stride) if drops else (lambda n, stride: -(-n // stride))
    for batch, height, width in ((1, 33, 18), (2, 16, 32)):
        x = image(backbone, batch, height, width)
        outputs = backbone(x)
        assert [tuple(y.shape) for y in outputs] == [
            (T, batch, channels, size(height, stride), size(width, stride))
            for channels, stride in zip(backbone.out_channels, strides)
        ]
        for ours, frames in zip(outputs, backbone(x.expand(T, *x.shape))):
            torch.testing.assert_close(ours, frames, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', FAMILIES)
def test_training_step(name):
    backbone = MODELS.build({**FAMILIES[name][0], 'T': 2}).train()
    excite(backbone)
    (last,) = backbone(image(backbone, 2, 32, 32))
    (last * torch.randn_like(last)).sum().backward()
    for key, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key
    learnt = (m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d) and m.weight.requires_grad)
    first_conv = next(learnt)
    assert first_conv.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    'config, keys',
    [
        (dict(type='Spikformer', form='imagenets'), 'form.*cifar.*imagenets'),
        (dict(type='Spikformer', embed_dims=36), r'embed_dims.*\b8\b.*\b36\b'),
        (dict(type='Spikformer', embed_dims=64, num_heads=12), r'\b64\b.*num_heads = 12'),
        (dict(type='Spikingformer', form='dvs'), 'form.*cifar.*dvs'),
        (dict(type='SpikeDrivenTransformer', pooling='01'), "pooling.*'01'"),
        (
            dict(type='SpikeDrivenTransformer', embed_dims=32, pooled_attention=True, num_heads=5),
            r'\b32\b.*num_heads = 5',
        ),
        (dict(type='QKFormer', form='cifar', depth=2), r'depth.*\b2\b'),
        (dict(type='SpikingResNet', depths=(2, 2, 2, 2)), 'depths.*widths'),
        (dict(type='SpikingResNet', depths=(1, 0), widths=(4, 8)), r'depths.*\b0\b'),
        (dict(type='SEWResNet', depths=(1, 1, 0, 1)), r'depths.*\b0\b'),
        (dict(type='SpikingResNet9', depths=(1, 1)), 'depths.*widths'),
        (dict(type='SpikingResNet9', widths=(32, 48), depths=(1, 1)), r'widths.*\b48\b.*\b32\b'),
        (dict(type='SpikingResNet9', pool='max'), 'pool.*step.*sum'),
        (dict(type='SpikingResNet9', depths=(1, -1, 1)), 'depths.*-1'),
        (dict(type='SpikingResNet9', widths=(64, 0, 256)), 'widths.*0'),
        (dict(type='SpikingResNet9', stem=0), 'stem.*0'),
        (dict(type='SEWResNet', connect='OR'), 'connect.*IAND.*OR'),
        (dict(type='SEWResNet', widths=(8, 16)), 'depths.*widths'),
        (dict(type='VGGSNN', pool='max'), 'pool.*avg.*stride.*max'),
        (dict(type='ESpikeFormer', neuron=dict(type='ILIF', levels=0)), r'levels.*\b0'),
    ],
)
def test_wrong_arguments_are_explained(config, keys):
    with pytest.raises(ConfigError, match=keys):
        MODELS.build(config)


def test_tdbn_scales_norms_by_the_threshold():
    neuron = dict(type='LIF', v_threshold=0.5)
    backbone = MODELS.build(dict(type='SpikingResNet', depths=(1, 1), widths=(4, 8), stem=4, tdbn=True, neuron=neuron))
    first, second = backbone.stages[0][0], backbone.stages[1][0]
    assert backbone.stem.bn.weight.unique() == 0.5 and first.conv1.bn.weight.unique() == 0.5
    for norm in (first.conv2.bn, second.conv2.bn, second.shortcut.bn):
        torch.testing.assert_close(norm.weight.unique(), torch.tensor([0.5 / 2**0.5]))


def test_resnet9_adds_currents_around_every_convolution():
    backbone = MODELS.build(dict(type='SpikingResNet9', widths=(8, 16), depths=(1, 0), stem=4, T=2, time='keep')).eval()
    for name, parameter in backbone.named_parameters():
        if name.startswith('stages') and '.conv.conv.' in name:
            torch.nn.init.zeros_(parameter)
    x = torch.rand(2, 3, 16, 16)
    (y,) = backbone(x)
    # without the convolutions, what is left are the means over 4x4 pixels of the stem, copied four times
    stem = torch.nn.functional.avg_pool2d(backbone.stem.image(x), 4).repeat(1, 4, 1, 1)
    torch.testing.assert_close(y, stem.expand(2, *stem.shape))


def test_resnet9_without_shortcuts_is_a_chain_of_convolutions():
    config = dict(type='SpikingResNet9', widths=(8, 16), depths=(1, 0), stem=4, T=2, time='keep', shortcuts=False)
    backbone = MODELS.build(config).train()
    x = backbone.stem.image(torch.rand(2, 3, 16, 16)).expand(2, 2, 4, 16, 16)
    for block in (backbone.stages[0][0], backbone.stages[0][1], backbone.stages[1][0]):
        spikes = block.neuron(x).flatten(0, 1)
        y = torch.nn.functional.conv2d(spikes, block.conv.conv.weight, padding=1)
        y = torch.nn.functional.max_pool2d(y, 2) if hasattr(block.conv, 'pool') else y
        mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), keepdim=True, unbiased=False)
        y = ((y - mean) / (variance + 1e-5).sqrt()).unflatten(0, (2, 2))
        x = block(x)
        torch.testing.assert_close(x, y)


@pytest.mark.parametrize('carry_over', [False, True])
def test_samples_are_independent_unless_carried_over(carry_over):
    config = dict(FAMILIES['qkformer_cifar'][0], carry_over=carry_over, neuron=dict(type='LIF', v_threshold=0.4))
    backbone = MODELS.build(config).eval()
    excite(backbone)
    x = torch.rand(2, 3, 16, 16)
    together, alone = backbone(x)[0][1:], backbone(x[1:])[0]
    assert torch.allclose(together, alone) != carry_over


@pytest.mark.parametrize('policy', ['A2SG', 'TASG', 'MPDAGL'])
def test_no_width_for_each_time_step_where_samples_carry_over(policy):
    config = FAMILIES['qkformer_cifar'][0]
    policy = POLICIES.build(dict(type=policy))
    with pytest.raises(ConfigError, match=rf'{type(policy).__name__}.*stages\.2\.0\.attn\.proj_neuron.*carry_over'):
        attach(MODELS.build({**config, 'carry_over': True}), policy)
    attach(MODELS.build({**config, 'carry_over': False}), policy)
    attach(MODELS.build({**config, 'carry_over': True}), POLICIES.build(dict(type='Fixed')))


def test_integer_neuron():
    neuron = ILIF(levels=4, decay=0.5)
    x = torch.tensor([[1.4], [6.0], [-1.0]], requires_grad=True)
    # u = 1.4, 6 + 0.5 * 0.4 and -1 + 0.5 * (6.2 - 4); the second is clipped
    s = neuron(x)
    assert (s * 4).flatten().tolist() == [1, 4, 0]
    s.sum().backward()
    torch.testing.assert_close(x.grad.flatten(), torch.tensor([0.25 * (1 + 0.5**2), 0.25 * 0.5, 0.25]))


@pytest.mark.parametrize('x, grad', [(-0.1, 0), (0.0, 1), (2.3, 1), (4.0, 1), (4.1, 0)])
def test_integer_neuron_passes_gradients_at_its_ends(x, grad):
    x = torch.tensor([[x]], requires_grad=True)
    NEURONS.build(dict(type='ILIF'))(x).sum().backward()
    assert x.grad.item() * 4 == grad
