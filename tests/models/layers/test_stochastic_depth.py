"""Stochastic depth: whole samples, at all time steps, with rates that rise over the blocks."""

import pytest
import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers import TransformerBlock
from a2sg_zoo.models.layers.transformer import stochastic_depth
from a2sg_zoo.registry import MODELS
from tests.models.backbones.test_families import FAMILIES

TRANSFORMERS = [
    'spikformer_cifar',
    'spikingformer_cifar',
    'sdt_cifar',
    'meta_spikeformer',
    'e_spikeformer',
    'qkformer_cifar',
]


def test_equals_timm():
    timm = pytest.importorskip('timm.layers', reason='timm is one of the test extras')
    y = torch.randn(3, 50, 4, 5)
    torch.manual_seed(3)
    ours = stochastic_depth(y, 0.3)
    torch.manual_seed(3)
    theirs = timm.DropPath(0.3).train()(y.transpose(0, 1)).transpose(0, 1)
    torch.testing.assert_close(ours, theirs)
    assert 0 < (ours == 0).flatten(2).all(2)[0].sum() < 50


def test_a_sample_is_dropped_at_all_time_steps_and_the_mean_stays():
    y = stochastic_depth(torch.ones(4, 20_000, 1), 0.25)
    assert y[0].equal(y[3])
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.75]))
    assert abs(y.mean() - 1) < 0.02


@pytest.mark.parametrize('training', [True, False])
def test_a_block_drops_each_branch_while_it_trains(training):
    torch.manual_seed(0)
    block = TransformerBlock(nn.Identity(), nn.Identity()).train(training)
    block.drop_path = 0.5
    y = block(torch.ones(2, 400, 3))
    # x (1 + a) (1 + b), where a and b are 0 or 1 / (1 - rate) = 2
    values = {1.0, 3.0, 9.0} if training else {4.0}
    assert set(y.unique().tolist()) == values


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_rates_rise_over_the_blocks_of_a_backbone(name):
    config = {**FAMILIES[name][0], 'drop_path': 0.2}
    backbone = MODELS.build(config)
    rates = [block.drop_path for block in backbone.modules() if isinstance(block, TransformerBlock)]
    torch.testing.assert_close(torch.tensor(rates), torch.linspace(0, 0.2, len(rates)))
    without = MODELS.build(FAMILIES[name][0])
    assert not any(b.drop_path for b in without.modules() if isinstance(b, TransformerBlock))


@pytest.mark.parametrize(
    'config', [dict(type='SpikingResNet', drop_path=0.1), dict(FAMILIES['sdt_cifar'][0], drop_path=1.0)]
)
def test_what_makes_no_sense_is_refused(config):
    with pytest.raises(ConfigError, match='drop_path'):
        MODELS.build(config)


def test_activation_checkpointing_drops_the_same_samples():
    config = dict(type='SpikeDrivenTransformer', embed_dims=32, depth=3, pooling='1111', T=2, drop_path=0.5)
    x, gradients = torch.rand(6, 3, 32, 32), []
    for recompute in (False, True):
        torch.manual_seed(1)
        backbone = MODELS.build({**config, 'recompute': recompute}).train()
        for module in backbone.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                nn.init.constant_(module.bias, 0.5)
        torch.manual_seed(2)
        backbone(x)[0].square().sum().backward()
        gradients.append([p.grad for p in backbone.parameters()])
    assert all(a.equal(b) for a, b in zip(*gradients))
