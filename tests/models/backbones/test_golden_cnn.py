"""Published convolutional networks of which no outputs are stored: equal to their definition, written out in autograd.

The definition below runs on weights under the official names, so it checks the converters as well.
"""

import pytest
import torch
import torch.nn.functional as F

from a2sg_zoo.registry import MODELS
from tests.models.backbones.golden import relative

WIDTHS = (4, 8, 12, 16)
STAGES = dict(time='keep', out_indices=(0, 1, 2, 3))


class Spike(torch.autograd.Function):
    """1 if z > 0, strictly, with `shape(z)` for its derivative."""

    @staticmethod
    def forward(ctx, z, shape):
        ctx.save_for_backward(z)
        ctx.shape = shape
        return (z > 0).to(z.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.shape(*ctx.saved_tensors), None


def triangle(z):
    return (1 - z.abs()).clamp(min=0)


def sigmoid(z):
    return 4 * (4 * z).sigmoid() * (1 - (4 * z).sigmoid())


def lif_of_tet(x):
    spikes, v = [], 0
    for current in x:
        v = 0.5 * v + current
        spikes.append(Spike.apply(v - 1, triangle))
        v = v * (1 - spikes[-1])
    return torch.stack(spikes)


def if_of_sew(x):
    spikes, v = [], 0
    for current in x:
        v = v + current
        spikes.append(Spike.apply(v - 1, sigmoid))
        v = v * (1 - spikes[-1].detach())
    return torch.stack(spikes)


class Weights(dict):
    """Official weights, float64, drawn when a layer first asks for them."""

    def draw(self, name, shape, low, high):
        return self.setdefault(name, torch.empty(shape, dtype=torch.double).uniform_(low, high))

    def conv_bn(self, x, conv, bn, channels, kernel_size=3, stride=1, bias=False):
        bound = 2 / (x.shape[2] * kernel_size**2) ** 0.5
        weight = self.draw(f'{conv}.weight', (channels, x.shape[2], kernel_size, kernel_size), -bound, bound)
        y = F.conv2d(
            x.flatten(0, 1),
            weight,
            self.draw(f'{conv}.bias', channels, -0.1, 0.1) if bias else None,
            stride,
            kernel_size // 2,
        )
        y = F.batch_norm(
            y,
            self.draw(f'{bn}.running_mean', channels, -0.3, 0.3),
            self.draw(f'{bn}.running_var', channels, 0.5, 1),
            self.draw(f'{bn}.weight', channels, 1, 2),
            self.draw(f'{bn}.bias', channels, 0, 1),
        )
        return y.unflatten(0, x.shape[:2])


def vgg(weights, x, pool):
    """The output of every pair of convolutions; the pooled form counts its pools among the features."""
    outputs, index = [], 0
    for i, channels in enumerate(c for c in WIDTHS for _ in range(2)):
        name, stride = f'features.{index}.fwd.module', 2 if i % 2 and pool == 'stride' else 1
        x = lif_of_tet(weights.conv_bn(x, f'{name}.0', f'{name}.1', channels, stride=stride, bias=True))
        index += 1
        if i % 2:
            if pool == 'avg':
                x = F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])
                index += 1
            outputs.append(x)
    weights.draw('classifier.module.weight', (10, 16), -1, 1)
    return outputs


def sew(weights, x, block, connect, container):
    """The output of every stage, of two blocks each; `container` is '.module' or ''."""

    def layer(x, name, channels, kernel_size, stride=1):
        name = f'{name}{container}'
        return if_of_sew(weights.conv_bn(x, f'{name}.0', f'{name}.1', channels, kernel_size, stride))

    x = if_of_sew(weights.conv_bn(x, 'conv1', 'bn1', WIDTHS[0], 7, 2))
    x = F.max_pool2d(x.flatten(0, 1), 3, 2, 1).unflatten(0, x.shape[:2])
    outputs = []
    for i, width in enumerate(WIDTHS):
        for j in range(2):
            name, stride = f'layer{i + 1}.{j}', 2 if i and j == 0 else 1
            if block == 'basic':
                channels = width
                y = layer(layer(x, f'{name}.conv1', width, 3, stride), f'{name}.conv2', width, 3)
            else:
                channels = 4 * width
                y = layer(layer(x, f'{name}.conv1', width, 1), f'{name}.conv2', width, 3, stride)
                y = layer(y, f'{name}.conv3', channels, 1)
            if x.shape[2:] != y.shape[2:]:
                x = layer(x, f'{name}.downsample.0', channels, 1, stride)
            x = dict(ADD=y + x, AND=y * x, IAND=x * (1 - y))[connect]
        outputs.append(x)
    weights.draw('fc.weight', (10, channels), -1, 1)
    return outputs


def check(config, published, x):
    """`published(weights, x)` and the backbone agree in every stage's output, and in the gradient of each at x."""
    weights = Weights()
    x.requires_grad_()
    expected = published(weights, x)
    backbone = MODELS.build({**config, **STAGES, 'T': len(x)}).double().eval()
    converted, dropped = backbone.from_official(weights)
    assert all(name.startswith(('classifier.', 'fc.')) for name in dropped), dropped
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


@pytest.mark.parametrize('pool', ['avg', 'stride'])
def test_vggsnn(pool):
    config = dict(type='VGGSNN', widths=[c for c in WIDTHS for _ in range(2)], pool=pool)
    check(config, lambda weights, x: vgg(weights, x, pool), torch.rand(3, 2, 2, 32, 32, dtype=torch.double))


@pytest.mark.parametrize('container', ['', '.module'])
@pytest.mark.parametrize('connect', ['ADD', 'AND', 'IAND'])
@pytest.mark.parametrize('block', ['basic', 'bottleneck'])
def test_sew_resnet(block, connect, container):
    config = dict(
        type='SEWResNet',
        depths=(2, 2, 2, 2),
        widths=WIDTHS,
        block=block,
        connect=connect,
        neuron=dict(type='IF', surrogate=dict(type='Sigmoid', alpha=4.0)),
    )
    check(
        config,
        lambda weights, x: sew(weights, x, block, connect, container),
        torch.rand(3, 2, 3, 64, 64, dtype=torch.double),
    )
