"""The fixed first layer makes the patches of the training images uncorrelated; a resumed run keeps it."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
from torch import nn
from torch.nn import functional as F

from a2sg_zoo.datasets import Digits
from a2sg_zoo.engine.hooks import WhitenStem
from a2sg_zoo.engine.hooks.whiten import whitening
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.backbones import SpikingResNet9


class Model(nn.Module):
    init_cfg = None

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone
        self.data_preprocessor = ImgDataPreprocessor(mean=[80.0] * 3, std=[90.0] * 3)


def runner(backbone=None, dataset=None, iteration=0, **cfg):
    backbone = backbone or SpikingResNet9(widths=(8,), depths=(0,), stem=4)
    dataset = SimpleNamespace(images=smooth(64)) if dataset is None else dataset
    loader, logger = SimpleNamespace(dataset=dataset), logging.getLogger()
    return SimpleNamespace(iter=iteration, model=Model(backbone), train_dataloader=loader, cfg=cfg, logger=logger)


def smooth(number):
    """Images of which neighbouring pixels and channels are correlated."""
    generator = torch.Generator().manual_seed(3)
    grey, colour = (torch.rand(number, channels, 18, 18, generator=generator) for channels in (1, 3))
    return (F.avg_pool2d(grey + 0.3 * colour, 3, 1) * 190).byte()


def covariance(x):
    x = x.transpose(0, 1).flatten(1)
    return torch.cov(x)


def test_outputs_are_uncorrelated():
    run = runner()
    WhitenStem(eps=0.0).before_train(run)
    layer = run.model.backbone.stem.whiten
    images = (smooth(64).float() - 80) / 90
    inside = F.conv2d(images, layer.weight)  # without the padding, of which the statistics know nothing
    torch.testing.assert_close(covariance(inside), torch.eye(27), atol=2e-3, rtol=0)
    patches = F.unfold(images, 3).transpose(0, 1).flatten(1)
    assert (torch.cov(patches) - torch.eye(27)).abs().max() > 0.1


def test_eps_shrinks_directions_of_little_variance_alone():
    images = (smooth(64).float() - 80) / 90
    variance = covariance(F.conv2d(images, whitening(images, 3, eps=0.01))).diag()
    patches = F.unfold(images, 3).transpose(0, 1).flatten(1)
    values = torch.linalg.eigvalsh(torch.cov(patches)).flip(0)
    torch.testing.assert_close(variance, values / (values + 0.01), atol=2e-3, rtol=1e-3)


def test_only_a_run_that_begins_sets_it():
    run = runner(iteration=5)
    before = run.model.backbone.stem.whiten.weight.clone()
    WhitenStem().before_train(run)
    assert run.model.backbone.stem.whiten.weight.equal(before)


@pytest.mark.parametrize('way', ['load_from', 'network', 'backbone'])
def test_weights_that_were_loaded_stay(way):
    """The convolution behind it has learnt to read its outputs."""
    run = runner(load_from='weights.pth' if way == 'load_from' else None)
    pretrained = dict(type='Pretrained', checkpoint='weights.pth')
    if way == 'network':
        run.model.init_cfg = pretrained
    elif way == 'backbone':
        run.model.backbone.init_cfg = [dict(type='Kaiming', layer='Conv2d'), pretrained]
    before = run.model.backbone.stem.whiten.weight.clone()
    WhitenStem().before_train(run)
    assert run.model.backbone.stem.whiten.weight.equal(before)


def test_large_images_are_fewer():
    """5,000 images of 1024x1024 pixels would need 150 GB."""
    images = torch.randint(256, (40, 3, 128, 128), dtype=torch.uint8)
    run, seen = runner(dataset=SimpleNamespace(images=images)), []
    run.model.data_preprocessor.register_forward_pre_hook(lambda module, args: seen.append(len(args[0]['inputs'])))
    WhitenStem(images=100).before_train(run)
    assert seen == [100 * 32 * 32 // (128 * 128)]


def test_the_optimizer_leaves_it():
    assert not SpikingResNet9(widths=(8,), depths=(0,), stem=4).stem.whiten.weight.requires_grad


def test_real_images():
    run = runner(dataset=Digits(size=16))
    WhitenStem(images=100).before_train(run)
    assert run.model.backbone.stem.whiten.weight.isfinite().all()


@pytest.mark.parametrize(
    'run, key',
    [
        (lambda: runner(backbone=nn.Identity()), 'stem.whiten'),
        (lambda: runner(dataset=[1, 2]), 'train_dataloader.dataset.images'),
    ],
)
def test_what_it_needs_is_named(run, key):
    with pytest.raises(ConfigError, match=key):
        WhitenStem().before_train(run())
