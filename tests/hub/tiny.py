"""Small networks with initial weights, published to an index of their own."""

import hashlib

import torch

from a2sg_zoo.hub.index import write_index
from a2sg_zoo.hub.published import Description, build, save

CLASSIFIER = dict(
    type='SpikingClassifier',
    backbone=dict(type='Spikformer', form='cifar', embed_dims=16, depth=1, num_heads=2, T=2, time='keep'),
    head=dict(type='LinearHead', in_channels=16, num_classes=3),
    data_preprocessor=dict(type='ImgDataPreprocessor', mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 70.0]),
)
SEGMENTOR = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[120.0, 110.0, 100.0],
        std=[60.0, 50.0, 70.0],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        test_cfg=dict(size_divisor=16),
    ),
    backbone=dict(type='Spikformer', form='cifar', embed_dims=16, depth=1, num_heads=2, T=2, out_indices=[-1]),
    decode_head=dict(
        type='FPNHead',
        feature_strides=[1],
        in_channels=[16],
        in_index=[0],
        channels=8,
        num_classes=3,
        norm_cfg=dict(type='BN'),
        align_corners=False,
    ),
    train_cfg={},
    test_cfg=dict(mode='whole'),
)
CLASSES = ['ant', 'bee', 'cat']
PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
DESCRIPTIONS = {
    'classification': Description('classification', CLASSIFIER, CLASSES, dict(size=32), []),
    'segmentation': Description('segmentation', SEGMENTOR, CLASSES, dict(scale=[64, 48], keep_ratio=True), PALETTE),
}


def network(task='classification'):
    """A network in which neurons of all layers fire, and whose answer depends on the picture."""
    model = build(DESCRIPTIONS[task].model, 'test')
    for name, x in model.named_parameters():
        if name.endswith('bn.bias'):
            torch.nn.init.normal_(x, 1.0, 0.3)
        elif 'head' in name and name.endswith('weight'):
            torch.nn.init.normal_(x, 0.0, 1.0)
    with torch.no_grad():
        for _ in range(20):  # statistics of batch norm
            model(torch.randn(4, 3, 32, 32), mode='tensor')
    return model.eval()


def facts(path, location, task='classification', **others):
    """The entry of a published file."""
    data = path.read_bytes()
    return dict(
        task=task,
        summary='A tiny network.',
        config='configs/tiny.py',
        model=DESCRIPTIONS[task].model,
        location=location,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        parameters=1,
        T=2,
        metrics=dict(top1=33.3),
        licence='Apache-2.0',
        code_version='0.1.0',
        **{
            'data': dict(name='Insects'),
            'recipe': dict(command='python tools/train.py x', evaluation='python tools/test.py x'),
            **others,
        },
    )


def publish(folder, name='tiny', location=None, task='classification', **others):
    """Writes NAME.safetensors and index.json to `folder`; returns (network, path of the weights, path of the index)."""
    model = network(task)
    path, index = folder / f'{name}.safetensors', folder / 'index.json'
    save(model.state_dict(), DESCRIPTIONS[task], path)
    write_index({name: facts(path, location or path.name, task, **others)}, index)
    return model, path, index
