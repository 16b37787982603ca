"""Every head on every backbone: builds, trains with A2SG, is published, predicts, and is exported."""

import pytest
import torch

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.published import build
from a2sg_zoo.models.segmentors.spiking_fpn import SpikingConv
from a2sg_zoo.models.segmentors.spiking_heads import PooledConv, SpikingFCNHead, pooled
from tests.models.segmentors import heads

# every third pair, so that each head and each backbone occurs
PAIRS = [(b, h) for i, h in enumerate(heads.HEADS) for j, b in enumerate(heads.BACKBONES) if (i + j) % 3 == 0]


@pytest.mark.parametrize('backbone, head', PAIRS)
def test_trains_is_published_and_predicts(backbone, head, tmp_path):
    torch.manual_seed(0)
    model = build(heads.config(backbone, head), 'test')
    assert heads.train_step(model) == []
    again = heads.published(model, backbone, head, tmp_path)
    with torch.no_grad():
        logits = again(torch.rand(1, 3, 50, 70), mode='tensor')  # not a multiple of the stride
    assert logits.shape[:2] == (1, 5) and logits.isfinite().all()


@pytest.mark.parametrize(
    'head', ['UPerHead', 'SpikingUPerHead', 'SpikingASPPHead', pytest.param('SpikingMaskHead', marks=pytest.mark.slow)]
)
def test_exported(head):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    torch.manual_seed(0)
    assert heads.onnx_error(build(heads.config('Spikformer', head), 'test'), 'Spikformer', head) < 1e-4


def test_features_without_time_are_refused():
    with pytest.raises(ConfigError, match=r"\(2, 8, 4, 4\).*model.backbone.time = 'keep'"):
        SpikingConv(8, 8, 3, dict(type='LIF'))(torch.rand(2, 8, 4, 4))


def test_a_head_without_convolutions_is_refused():
    with pytest.raises(ConfigError, match='SpikingFCNHead: num_convs'):
        SpikingFCNHead(num_convs=0, in_channels=8, channels=4, num_classes=3)


def test_one_number_a_channel_cannot_train():
    layer = PooledConv(1, 8, 8, dict(type='LIF'))
    with pytest.raises(ConfigError, match='batch_size'):
        layer(torch.rand(1, 1, 8, 4, 4))
    assert layer.eval()(torch.rand(1, 1, 8, 4, 4)).shape == layer.train()(torch.rand(2, 1, 8, 4, 4))[:1].shape


def test_pooling_of_uneven_sizes():
    x = torch.rand(2, 1, 3, 5, 7, dtype=torch.double)
    grid = pooled(x, 2)
    assert torch.allclose(grid[0, 0, :, 0, 0], x[0, 0, :, :3, :4].mean((1, 2)))
    assert torch.allclose(grid[1, 0, :, 1, 1], x[1, 0, :, 2:, 3:].mean((1, 2)))
