"""Initial weights of recipes that follow published code are those of their sources, which the table below names.

Layers of torch begin with a uniform distribution, and most sources replace it by a normal one for some kinds of layers.
"""

from dataclasses import dataclass, field

import pytest
import torch
from mmengine.registry import init_default_scope

from a2sg_zoo.engine.config import load_config
from a2sg_zoo.registry import MODELS


@dataclass
class Start:
    """Initial weights as the source makes them: the law of each kind of layer, and batch norms with a weight that is
    not 1, by a part of their name."""

    source: str
    laws: dict
    norms: dict = field(default_factory=dict)


# law(weight): standard deviation, mean size in standard deviations, largest size of a bias
def pytorch(weight):
    """Uniform within 1 / sqrt(fan_in), what torch's layers begin with."""
    bound = weight[0].numel() ** -0.5
    return bound / 3**0.5, 3**0.5 / 2, bound


def normal(std):
    return lambda weight: (std, (2 / torch.pi) ** 0.5, 0.0)


def kaiming_fan_out(weight):
    return normal((2 / (weight.shape[0] * weight[0, 0].numel())) ** 0.5)(weight)


def kaiming_fan_out_and_biases(weight):
    return *kaiming_fan_out(weight)[:2], pytorch(weight)[2]


PYTORCH = dict.fromkeys(('Conv1d', 'Conv2d', 'Linear'), pytorch)
TDBN = {'.conv2.': 0.5**0.5, '.shortcut.': 0.5**0.5}
TET = 'resnet_models.py and VGG_models.py of github.com/brain-intelligence-lab/temporal_efficient_training/models'
STARTS = {
    # its Kaiming branch needs zero_init_residual, which no script sets
    'resnet19_cifar10': Start(TET, PYTORCH),
    'resnet18_cifar10': Start('model/resnet.py of github.com/Windere/ASGL-SNN', PYTORCH),
    # zero_init_residual is false in the logs of all SEW-ResNets
    'sew_resnet34_imagenet': Start(
        'imagenet/sew_resnet.py and the logs of github.com/fangwei123456/Spike-Element-Wise-ResNet',
        dict(Conv2d=kaiming_fan_out, Linear=pytorch),
    ),
    'vggsnn_cifar10dvs': Start(TET, dict(Conv2d=kaiming_fan_out_and_biases, Linear=pytorch)),
    'spikformer_4_384_cifar10': Start(
        'cifar10/model.py of github.com/ZK-Zhou/spikformer; its linear layers are convolutions of size 1 here',
        dict(Conv2d=pytorch, Conv1d=normal(0.02), Linear=normal(0.02)),
    ),
    'qkformer_4_384_cifar10': Start(
        'cifar10/model.py of github.com/zhouchenlin2096/QKFormer', dict(PYTORCH, Linear=normal(0.02))
    ),
    'sdt_2_512_cifar10': Start(
        'model/spikeformer.py of github.com/BICLab/Spike-Driven-Transformer',
        dict(Conv2d=normal(0.02), Conv1d=normal(0.02), Linear=pytorch),
    ),
    # our pretrained weights and benchmarks began from these
    'resnet19_w16_cifar10': Start('', dict(PYTORCH, Linear=normal(0.2)), TDBN),
    'resnet_small_digits': Start('', PYTORCH, TDBN),
    'spikformer_2_128_cifar10': Start('', dict(PYTORCH, Linear=normal(0.02))),
}


@pytest.mark.parametrize('name', STARTS)
def test_initial_weights(name):
    """Every layer has the distribution of its source: standard deviation, and mean size, which tells the two apart."""
    start, cfg = STARTS[name], load_config(name)
    init_default_scope('a2sg_zoo')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    for key, layer in model.named_modules():
        if isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            weight = next((value for part, value in start.norms.items() if part in key), 1.0)
            assert layer.weight.unique().tolist() == pytest.approx([weight], rel=1e-6), key
            assert not layer.bias.any() and not layer.running_mean.any() and (layer.running_var == 1).all(), key
        elif isinstance(layer, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)):
            std, size, bias = start.laws[type(layer).__name__](layer.weight)
            error = 5 / layer.weight.numel() ** 0.5  # five standard errors of an estimate, or fewer
            assert layer.weight.std().item() == pytest.approx(std, rel=error), key
            assert layer.weight.abs().mean().item() == pytest.approx(std * size, rel=error), key
            assert layer.weight.mean().item() == pytest.approx(0.0, abs=std * error), key
            if layer.bias is not None:
                assert layer.bias.abs().max() <= bias and bool(layer.bias.any()) == (bias > 0), key
