"""The spiking neck and head, alone and in MMSegmentation's `EncoderDecoder`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.segmentors import SpikingFPN, SpikingFPNHead
from a2sg_zoo.registry import MODELS


@settings(max_examples=10)
@given(T=st.integers(1, 3), B=st.integers(1, 2), H=st.integers(8, 20), W=st.integers(8, 20))
def test_any_size(T, B, H, W):
    sizes = [(-(-H // s), -(-W // s)) for s in (1, 2, 4, 8)]
    inputs = [torch.randn(T, B, c, *size) for c, size in zip((4, 6, 8, 10), sizes)]
    levels = SpikingFPN([4, 6, 8, 10], 8).eval()(inputs)
    assert [x.shape for x in levels] == [(T, B, 8, *size) for size in sizes]
    head = SpikingFPNHead([2, 4, 8, 16], in_channels=[8] * 4, in_index=[0, 1, 2, 3], channels=8, num_classes=5)
    assert head.eval()(levels).shape == (B, 5, H, W)


@pytest.mark.parametrize('strides', [[4], [4, 8, 16], [4, 12], [4, 2]])
def test_strides_that_do_not_fit(strides):
    with pytest.raises(ConfigError, match='feature_strides.*in_channels'):
        SpikingFPNHead(strides, in_channels=[8, 8], in_index=[0, 1], channels=8, num_classes=3)


def segmentor(neck, head, time):
    init_default_scope('a2sg_zoo')
    return MODELS.build(
        dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=16),
            backbone=dict(
                type='Spikformer', embed_dims=32, depth=1, num_heads=4, T=2, out_indices=(0, 1, 2, 3), time=time
            ),
            neck=neck,
            train_cfg=dict(),
            test_cfg=dict(mode='whole'),
            decode_head=dict(
                in_channels=[8] * 4,
                in_index=[0, 1, 2, 3],
                channels=8,
                num_classes=5,
                feature_strides=[2, 4, 8, 16],
                align_corners=False,
                **head,
            ),
        )
    )


@pytest.mark.parametrize(
    'neck, head, time',
    [
        (dict(type='FPN', in_channels=[4, 8, 16, 32], out_channels=8, num_outs=4), dict(type='FPNHead'), 'mean'),
        (dict(type='SpikingFPN', in_channels=[4, 8, 16, 32], out_channels=8), dict(type='SpikingFPNHead'), 'keep'),
    ],
)
def test_trains_and_predicts(neck, head, time):
    model = segmentor(neck, head, time)
    inputs = torch.rand(2, 3, 64, 64)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(5, (1, 64, 64)))) for _ in range(2)]
    loss = model(inputs, samples, mode='loss')['decode.loss_ce']
    loss.backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert not silent
    model.eval()
    with torch.no_grad():
        logits = model(torch.rand(1, 3, 50, 70), mode='tensor')  # not a multiple of the stride
    assert logits.shape[:2] == (1, 5)
