"""Small networks of every family whose layers fire, and whose answers depend on the picture."""

import io
import tarfile

import numpy as np
import torch
from PIL import Image
from torch.nn.modules.batchnorm import _BatchNorm

from a2sg_zoo.export.deployed import Deployed
from a2sg_zoo.hub.published import Description, build
from a2sg_zoo.registry import MODELS
from tests.models.backbones.test_families import FAMILIES

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 70.0]
CLASSES = ['ant', 'bee', 'cat', 'dog']
PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]]


def excite(network, seed=0):
    """Random statistics, weights and biases of batch norms, such that neurons fire at all depths."""
    g = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            C = module.num_features
            module.running_mean.copy_(0.2 * torch.randn(C, generator=g))
            module.running_var.copy_(0.3 + torch.rand(C, generator=g))
            module.weight.data.copy_(1.0 + torch.rand(C, generator=g))
            module.bias.data.copy_(1.0 + 0.5 * torch.randn(C, generator=g))
    return network


def pictures(number, height=32, width=32, seed=0):
    """Smooth coloured noise of varying contrast, uint8 (number, 3, height, width)."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, 3, 4, 4, generator=g)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear')
    spread = torch.rand(number, 3, 1, 1, generator=g)
    shade = torch.rand(number, 3, 1, 1, generator=g)
    return (255 * (spread * fine + (1 - spread) * shade)).to(torch.uint8)


def events(number, T, channels, seed=0):
    """Frames (number, T, channels, 32, 32) of small counts."""
    g = torch.Generator().manual_seed(seed)
    level = 2 * torch.rand(number, 1, channels, 4, 4, generator=g)
    level = torch.nn.functional.interpolate(level.flatten(0, 1), (32, 32)).unsqueeze(1)
    return torch.poisson(level.expand(-1, T, -1, -1, -1), generator=g)


def backbone(name, T=3, **overrides):
    return excite(MODELS.build({**FAMILIES[name][0], 'T': T, 'time': 'keep', **overrides})).eval()


def photographs(archive, number):
    """The first pictures of an archive of JPEG files, uint8 (number, 3, H, W)."""
    found = []
    with tarfile.open(archive, 'r|xz') as file:
        for member in file:
            if member.name.endswith('.jpg'):
                image = Image.open(io.BytesIO(file.extractfile(member).read())).convert('RGB')
                found.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
                if len(found) == number:
                    break
    return torch.stack(found)


def classifier(name, T=3, head=None, data=None, **overrides):
    """(network, description) of a classifier of a family, of 32x32 pictures or event frames; `data` is what its
    statistics are taken from."""
    config = {**FAMILIES[name][0], 'T': T, 'time': 'keep', **overrides}
    channels = MODELS.build(config).out_channels[-1]
    model = dict(
        type='SpikingClassifier',
        backbone=config,
        head=dict(type='LinearHead', in_channels=channels, num_classes=len(CLASSES), **(head or {})),
    )
    network = build(model, 'test')
    takes_pictures = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d)).in_channels == 3
    if takes_pictures:
        model['data_preprocessor'] = dict(type='ImgDataPreprocessor', mean=MEAN, std=STD)
    torch.manual_seed(0)
    network = build(model, 'test')
    description = Description('classification', model, CLASSES, dict(size=32) if takes_pictures else {}, [])
    calibrate(network, description, data)
    return network, description


@torch.no_grad()
def calibrate(network, description, data=None):
    """Statistics of batch norm from data, biases that let neurons fire, and logits whose mean over data is zero."""
    excite(network)
    deployed = Deployed(network, description, (32, 32))
    if data is None:
        data = pictures(32, seed=1) if deployed.takes_pictures else events(32, *deployed.input_shape[:2], seed=1)
    inputs = deployed.normalise(data)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    network.train()(inputs)
    network.eval()
    if description.task == 'classification':
        *hidden, last = [m for m in network.head.layers if isinstance(m, torch.nn.Linear)]
        for layer in hidden:
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.constant_(layer.bias, 1.0)
        torch.nn.init.normal_(last.weight)
        last.bias.sub_(network(inputs).mean((0, 1)))


def segmentor(flip=True):
    """(network, description) of a segmentor; with `flip` its preprocessor turns blue first, as loaded, to red first."""
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            mean=MEAN,
            std=STD,
            bgr_to_rgb=flip,
            pad_val=0,
            seg_pad_val=255,
            test_cfg=dict(size_divisor=16),
        ),
        backbone=dict(
            type='Spikformer',
            form='cifar',
            embed_dims=16,
            depth=1,
            num_heads=2,
            T=2,
            time='keep',
            out_indices=[1, 2, 3],
        ),
        neck=dict(type='SpikingFPN', in_channels=[4, 8, 16], out_channels=8),
        decode_head=dict(
            type='SpikingFPNHead',
            feature_strides=[1, 2, 4],
            in_channels=[8] * 3,
            in_index=[0, 1, 2],
            channels=8,
            num_classes=len(CLASSES),
            align_corners=False,
            dropout_ratio=0.1,
        ),
        train_cfg={},
        test_cfg=dict(mode='whole'),
    )
    torch.manual_seed(0)
    network = build(model, 'test')
    description = Description('segmentation', model, CLASSES, dict(scale=[64, 48], keep_ratio=True), PALETTE)
    torch.nn.init.normal_(network.decode_head.conv_seg.weight)
    calibrate(network, description)
    return network, description
