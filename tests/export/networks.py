"""Small networks of every family whose layers fire, with statistics of batch norm that are not the initial ones."""

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from a2sg_zoo.registry import MODELS
from a2sg_zoo.zoo.published import Description, build
from tests.backbones.test_families import FAMILIES

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 70.0]
CLASSES = ['ant', 'bee', 'cat', 'dog']


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


def backbone(name, T=3, **overrides):
    return excite(MODELS.build({**FAMILIES[name][0], 'T': T, 'time': 'keep', **overrides})).eval()


def classifier(name, T=3, head=None, **overrides):
    """(network, description) of a classifier of a family; images are 32x32."""
    config = {**FAMILIES[name][0], 'T': T, 'time': 'keep', **overrides}
    channels = MODELS.build(config).out_channels[-1]
    model = dict(type='SpikingClassifier', backbone=config,
                 head=dict(type='LinearHead', in_channels=channels, num_classes=len(CLASSES), **(head or {})))
    if config.get('in_channels', 2 if config['type'] == 'VGGSNN' else 3) == 3:
        model['data_preprocessor'] = dict(type='ImgDataPreprocessor', mean=MEAN, std=STD)
    network = excite(build(model, 'test')).eval()
    torch.nn.init.normal_(network.head.layers[-1].weight, generator=torch.Generator().manual_seed(1))
    resize = dict(size=32) if 'data_preprocessor' in model else {}
    return network, Description('classification', model, CLASSES, resize, [])
