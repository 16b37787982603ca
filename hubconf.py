"""Networks for `torch.hub`: every name of `a2sg_zoo.list_models()`, and `create_model` for all others.

    torch.hub.load('OWNER/a2sg_zoo', 'resnet_small_digits_tri', num_classes=5)
    torch.hub.load('/path/of/a/checkout', 'create_model', 'spikformer_4_384_cifar10', source='local')

An entry takes the arguments of `a2sg_zoo.get_model`: pretrained, device, num_classes and T.
"""

from functools import partial as _partial

import a2sg_zoo as _a2sg_zoo
from a2sg_zoo import create_model, get_model  # noqa: F401  entries, too

dependencies = ['torch', 'torchvision', 'mmengine', 'mmcv', 'mmseg', 'safetensors', 'pooch']


def _entry(name):
    entry = _partial(_a2sg_zoo.get_model, name)
    entry.__doc__ = f"a2sg_zoo.get_model('{name}', ...): {_a2sg_zoo.info(name)['summary']}"
    return entry


globals().update({name: _entry(name) for name in _a2sg_zoo.list_models()})
