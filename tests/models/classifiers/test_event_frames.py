"""How the frames of an event camera reach a network."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from a2sg_zoo.engine.config import load_config, validate_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import MODELS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def network():
    neuron = dict(type='LIF', tau=2.0)
    return MODELS.build(
        dict(
            type='SpikingClassifier',
            mixing=[dict(type='torchvision/MixUp', alpha=0.5)],
            backbone=dict(type='VGGSNN', widths=(8,) * 4, T=3, neuron=neuron, time='keep'),
            head=dict(type='LinearHead', in_channels=8, grid=3, num_classes=5),
        )
    )


def test_frames_reach_the_neurons_in_their_order(network):
    frames = torch.rand(2, 3, 2, 12, 12)
    logits = network.eval()(frames)
    features = network.backbone(frames.transpose(0, 1))[-1]
    assert features.shape == (3, 2, 8, 3, 3)
    assert logits.equal(features.flatten(2) @ network.head.layers[0].weight.T + network.head.layers[0].bias)
    assert network(torch.rand(2, 3, 2, 32, 32)).shape == (3, 2, 5)  # averaged to the grid
    assert network.train()(frames, torch.tensor([1, 4]), mode='loss')['loss'].isfinite()


def test_mixup_mixes_samples_not_time(network, monkeypatch):
    frames = torch.rand(2, 3, 2, 12, 12)
    monkeypatch.setattr(torch, '_sample_dirichlet', lambda concentration: torch.tensor([[0.25, 0.75]]))
    seen = []
    monkeypatch.setattr(network.backbone, 'forward', lambda x, T: seen.append(x) or [torch.rand(3, 2, 8, 3, 3)])
    network.loss(frames, torch.tensor([1, 4]))
    assert seen[0].equal((0.25 * frames + 0.75 * frames[[1, 0]]).transpose(0, 1))


def test_fewer_time_steps_take_the_first_frames(network):
    frames, labels = torch.rand(2, 3, 2, 12, 12), torch.tensor([1, 4])
    network.eval()
    whole = network(frames, labels, mode='predict')
    network.test_T = 2
    for a, b in zip(whole, network(frames, labels, mode='predict')):
        torch.testing.assert_close(b['logits'], a['logits'][:2])
    for wrong in (1, 4):
        with pytest.raises(ConfigError, match=rf'\bT = 2\b.*\b{wrong} frames'):
            network(torch.rand(2, wrong, 2, 12, 12), labels, mode='predict')
    assert network.backbone.T == 3


def test_frames_that_do_not_match_the_network(network):
    with pytest.raises(ConfigError, match=r'\bT = 3\b.*\b4 frames'):
        network(torch.rand(2, 4, 2, 12, 12), torch.tensor([1, 4]), mode='loss')
    path = ROOT / 'configs' / 'vggsnn_cifar10dvs_tri.py'
    with pytest.raises(ConfigError) as error:
        validate_config(load_config(path, {'model.backbone.T': 4}))
    for key in (*(f'{name}_dataloader.dataset.T' for name in ('train', 'val', 'test')), '10', 'model.backbone.T = 4'):
        assert key in str(error.value)
    validate_config(Config(dict(model=dict(backbone=dict(type='VGGSNN', T=4)))))
