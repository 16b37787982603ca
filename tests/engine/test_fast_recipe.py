"""The recipes of ResNet-9 on embedded data: what they do before and during a training, and that they resume exactly."""

import shutil

import pytest
import torch

from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.registry import NEURONS

SIZES = {'model.backbone.widths': (8, 16, 16), 'model.backbone.stem': 4, 'model.head.in_channels': 16}
STEPS = {'train_cfg.max_iters': 6, 'train_cfg.val_interval': 6, 'default_hooks.checkpoint.interval': 1}


def config(folder, methods=('tri',)):
    cfg = prepare_config('resnet9_cifar10', {**SIZES, **STEPS}, demo=True, work_dir=folder, methods=list(methods))
    cfg.train_dataloader.batch_size = 16
    cfg.train_dataloader.dataset.per_class = (0, 4)  # 40 images: the third batch begins the second pass
    cfg.train_dataloader.dataset.pipeline = [dict(type='BatchCrop', padding=2), dict(type='BatchFlip', alternate=True)]
    cfg.val_dataloader.dataset.per_class = (0, 2)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    cfg.custom_hooks = [dict(type='WhitenStem', images=20), dict(type='GrowTimeSteps', schedule=[(0, 1), (4, 2)])]
    return cfg


@pytest.fixture(scope='module', params=['tri', 'a2sg'])
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    train(config(folder, [request.param]))
    return request.param, folder


@pytest.mark.parametrize('at', [3, 4, 5])
def test_a_resumed_run_ends_with_the_same_weights(whole, at, tmp_path):
    method, folder = whole
    shutil.copy(folder / f'iter_{at}.pth', tmp_path)
    train(config(tmp_path, [method]), resume='auto')
    expected, found = (read_checkpoint(path / 'iter_6.pth')['state_dict'] for path in (folder, tmp_path))
    assert expected.keys() == found.keys()
    assert [name for name in expected if not expected[name].equal(found[name])] == []


def test_the_first_layer_stands_still_and_time_steps_grow(whole):
    _, folder = whole
    first, middle, last = (read_checkpoint(folder / f'iter_{i}.pth')['state_dict'] for i in (1, 4, 6))
    name = 'backbone.stem.whiten.weight'
    assert first[name].equal(last[name])
    assert len(first[name].flatten(1)) == 27 and not torch.allclose(first[name], torch.zeros(()))
    beta = 'backbone.stages.0.0.neuron.beta'
    assert [len(state[beta]) for state in (first, middle, last)] == [1, 1, 2]


def test_for_a_constant_current_the_spikes_of_the_second_half_are_the_counts_of_the_first():
    counts, spikes = (load_config(f'resnet9_{half}_cifar10').model for half in ('counts', 'hybrid'))
    x = torch.linspace(-3, 5, 640) + 1e-3  # no half counts, which round to even numbers
    for config in (counts, spikes):
        assert config.backbone.neuron == config.head.neuron
    expected = NEURONS.build(counts.backbone.neuron)(x[None])[0]
    sent = NEURONS.build(spikes.backbone.neuron)(x.expand(spikes.backbone.T, -1))
    assert sent.unique().tolist() == [0, 1] and expected.unique().tolist() == [0, 0.25, 0.5, 0.75, 1]
    torch.testing.assert_close(sent.mean(0), expected)
