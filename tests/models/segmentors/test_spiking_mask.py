"""The head that classifies masks: its parts against loops, and what it learns."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.segmentors import SpikingMaskHead
from a2sg_zoo.models.segmentors.spiking_mask import (
    MaskedAttention,
    attention_weights,
    dice_loss,
    matching_cost,
    picture_masks,
    sampled,
    uncertain_points,
)


def head(**kwargs):
    arguments = dict(in_channels=[8] * 3, channels=16, num_classes=4, in_index=[0, 1, 2], num_heads=2, num_queries=6)
    return SpikingMaskHead(**{**arguments, 'num_points': 200, **kwargs})


def levels(B=2):
    return [torch.randn(2, B, 8, 16 // 2**i, 16 // 2**i) for i in range(3)]


def samples(labels):
    return [SegDataSample(gt_sem_seg=PixelData(data=x[None])) for x in labels]


def test_attention_equals_a_loop():
    torch.manual_seed(0)
    layer = MaskedAttention(8, 2, dict(type='LIF', tau=2.0)).double().eval()
    x, f = torch.randn(2, 3, 8, 4).double() * 4, torch.randn(2, 3, 8, 9).double() * 4
    for part in (layer.q, layer.k, layer.v):
        torch.nn.init.normal_(part.conv.weight)
    masks = torch.randn(3, 4, 3, 3).double()
    weights = attention_weights(masks, (3, 3))
    seen = {}
    layer.attn_neuron.register_forward_hook(lambda module, inputs, output: seen.update(sums=inputs[0]))
    spikes = {}
    for name in 'qkv':
        neuron = getattr(layer, f'{name}_neuron')
        neuron.register_forward_hook(lambda module, inputs, output, name=name: spikes.update({name: output}))
    with torch.no_grad():
        layer(x, f, weights)
    assert all(spikes[name].any() for name in 'qkv')
    for t, b, query, channel in ((0, 0, 0, 0), (1, 2, 3, 7), (0, 1, 2, 5)):
        heads = slice(0, 4) if channel < 4 else slice(4, 8)
        inside = masks[b, query].flatten() > 0
        inside = inside if inside.any() else ~inside
        total = sum(
            (spikes['q'][t, b, heads, query] * spikes['k'][t, b, heads, n]).sum() * spikes['v'][t, b, channel, n]
            for n in range(9)
            if inside[n]
        )
        assert torch.allclose(seen['sums'][t, b, channel, query], torch.as_tensor(total / inside.sum()).double())


def test_weights_of_an_empty_mask():
    weights = attention_weights(torch.full((1, 1, 4, 4), -1.0), (2, 2))
    assert torch.equal(weights, torch.full((1, 1, 4), 0.25))


def test_matching_cost_equals_loops():
    torch.manual_seed(0)
    classes, masks = torch.randn(5, 4, dtype=torch.double), torch.randn(5, 30, dtype=torch.double)
    labels, truth = torch.tensor([2, 0]), (torch.rand(2, 30) > 0.5).double()
    valid = (torch.rand(1, 30) > 0.3).double()
    cost = matching_cost(classes, masks, labels, truth, valid, (2.0, 5.0, 3.0))
    for q in range(5):
        for n in range(2):
            entropy = F.binary_cross_entropy_with_logits(masks[q], truth[n], valid[0], reduction='sum') / valid.sum()
            dice = dice_loss(masks[q : q + 1].sigmoid() * valid, truth[n : n + 1] * valid)
            expected = -2 * classes[q].float().softmax(0)[labels[n]] + 5 * entropy + 3 * dice
            assert torch.allclose(cost[q, n].double(), expected.double(), atol=1e-5)


def test_masks_of_a_picture():
    labels = torch.tensor([[3, 3, 255], [1, 255, 3]])
    classes, masks, valid = picture_masks(labels, 255)
    assert classes.tolist() == [1, 3]
    assert masks.sum((1, 2)).tolist() == [1, 3] and valid.sum() == 4


def test_points():
    mask = torch.arange(16.0).view(1, 4, 4) - 7.5
    centres = (torch.arange(4) + 0.5) / 4
    points = torch.stack(torch.meshgrid(centres, centres, indexing='xy'), -1).view(1, 16, 2)
    assert torch.allclose(sampled(mask, points), mask.flatten(1), atol=1e-5)
    torch.manual_seed(0)
    certain = sampled(mask, uncertain_points(mask, 400)).abs().mean()
    assert certain < sampled(mask, torch.rand(1, 400, 2)).abs().mean() - 1


def test_ignored_pixels_do_not_count():
    torch.manual_seed(0)
    net, x = head(), levels(1)
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[:, :, 8:] = 255
    with torch.no_grad():
        (classes, masks) = net.masks(x)[-1]
    targets = [picture_masks(labels[0], 255)]
    changed = masks.clone()
    changed[..., 9:] = 50  # at ignored pixels, away from the border that interpolation touches
    found = []
    for logits in (masks, changed):
        torch.manual_seed(1)
        found.append(net._layer_loss(classes, logits, targets, torch.tensor(1.0)))
    # the points are drawn where masks are uncertain, so values differ a little; the certain wrong pixels cost nothing
    assert found[1][1] < found[0][1] + 0.3
    labels[:] = 255
    losses = net.loss(x, samples(labels), None)
    assert losses['loss_mask'] == losses['loss_dice'] == 0 and losses['loss_class'].isfinite()


def test_a_network_that_diverges_has_a_loss_of_nan():
    net, x = head(), levels(1)
    with torch.no_grad():
        net.laterals[0].project.bn.weight.fill_(torch.nan)
    losses = net.loss(x, samples(torch.zeros(1, 16, 16, dtype=torch.long)), None)
    assert not sum(losses.values()).isfinite()


def test_learns_two_pictures():
    torch.manual_seed(0)
    net, x = head(num_layers=2), levels()
    labels = torch.zeros(2, 16, 16, dtype=torch.long)
    labels[0, :8], labels[1, :, :8] = 1, 2
    colours = 2 * torch.randn(4, 8)
    for i, level in enumerate(x):  # what a backbone would have found
        level += colours[labels[:, :: 2**i, :: 2**i]].permute(0, 3, 1, 2)
    optimizer = torch.optim.AdamW(net.parameters(), 2e-2)
    for _ in range(100):
        optimizer.zero_grad()
        losses = net.loss(x, samples(labels), None)
        sum(losses.values()).backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (net(x).argmax(1) == labels).double().mean()
    assert accuracy > 0.7, accuracy  # a constant answer gets 0.5


def test_each_level_needs_a_layer():
    with pytest.raises(ConfigError, match='num_layers'):
        head(num_layers=1)


@pytest.mark.parametrize('in_index', [[0], [0, 1, 2]])
def test_logits_are_logs_of_scores(in_index):
    torch.manual_seed(0)
    net = head(in_channels=[8] * len(in_index), in_index=in_index).eval()
    with torch.no_grad():
        classes, masks = net.masks(levels())[-1]
        logits = net(levels())
        scores = sum(classes[:, q].softmax(-1)[:, :4, None, None] * masks[:, q].sigmoid()[:, None] for q in range(6))
    assert logits.shape == scores.shape == (2, 4, 16, 16)
    assert logits.isfinite().all() and (logits <= torch.tensor(6.0).log() + 1e-6).all()
