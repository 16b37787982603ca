"""Networks whose batch norms were replaced by SyncBatchNorm, which in a single process takes the same statistics."""

import copy

import pytest
import torch
from mmengine.model.utils import convert_sync_batchnorm
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from a2sg_zoo.registry import MODELS

from .test_families import FAMILIES, excite, image


def passes(backbone, x):
    """Outputs, gradients and statistics of a training step, and what the network gives afterwards."""
    outputs = backbone.train()(x)
    sum((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum() for y in outputs).backward()
    with torch.no_grad():
        return [
            *outputs,
            *(p.grad for p in backbone.parameters() if p.requires_grad),
            *backbone.state_dict().values(),
            *backbone.eval()(x),
        ]


@pytest.mark.parametrize(
    'name, convert',
    [
        *((name, SyncBatchNorm.convert_sync_batchnorm) for name in FAMILIES),
        ('meta_spikeformer', convert_sync_batchnorm),
    ],
    ids=[*FAMILIES, 'meta_spikeformer_mmengine'],
)
def test_the_same_network(name, convert):
    config, strides = FAMILIES[name]
    backbone = MODELS.build({**config, 'T': 2, 'out_indices': range(len(strides))})
    excite(backbone)
    converted = convert(copy.deepcopy(backbone))
    assert any(isinstance(module, _BatchNorm) for module in backbone.modules())
    for ours, theirs in zip(backbone.modules(), converted.modules(), strict=True):
        assert type(theirs) is (SyncBatchNorm if isinstance(ours, _BatchNorm) else type(ours))
    assert list(converted.state_dict()) == list(backbone.state_dict())
    x = image(backbone, 2, 32, 32)
    results = [passes(network, x) for network in (backbone, converted)]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
