"""`init_cfg` of type Pretrained: all of the weights, or an error."""

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from torch import nn

from a2sg_zoo.errors import CheckpointError


class Part(BaseModule):
    def __init__(self, width=3, init_cfg=None):
        super().__init__(init_cfg)
        self.fc = nn.Linear(2, width)


class Whole(BaseModule):
    def __init__(self, width=3, init_cfg=None, part_init_cfg=None):
        super().__init__(init_cfg)
        self.part, self.head = Part(width, part_init_cfg), nn.Linear(width, 1)


@pytest.fixture
def weights(tmp_path):
    init_default_scope('a2sg_zoo')
    model = Whole()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'whole.pth')
    torch.save(dict(state_dict=model.part.state_dict()), tmp_path / 'part.pth')
    return tmp_path


def pretrained(path, **kwargs):
    return dict(type='Pretrained', checkpoint=str(path), **kwargs)


def test_weights_that_fit_are_loaded(weights):
    whole = torch.load(weights / 'whole.pth')['state_dict']
    for kwargs in (
        dict(init_cfg=pretrained(weights / 'whole.pth')),
        dict(part_init_cfg=pretrained(weights / 'part.pth')),
        dict(part_init_cfg=pretrained(weights / 'whole.pth', prefix='part.')),
        dict(part_init_cfg=pretrained(weights / 'whole.pth', prefix='part')),
    ):
        model = Whole(**kwargs)
        model.init_weights()
        assert torch.equal(model.part.fc.weight, whole['part.fc.weight'])
        assert torch.equal(model.head.weight, whole['head.weight']) == ('init_cfg' in kwargs)


def test_names_that_may_be_missing_keep_their_weights(weights):
    part = torch.load(weights / 'part.pth')['state_dict']
    torch.save(dict(state_dict={f'part.{key}': value for key, value in part.items()}), weights / 'headless.pth')
    model = Whole(init_cfg=pretrained(weights / 'headless.pth', allow_missing=['head.*']))
    head = model.head.weight.clone()
    model.init_weights()
    assert torch.equal(model.part.fc.weight, part['fc.weight']) and torch.equal(model.head.weight, head)


@pytest.mark.parametrize(
    'width, kwargs, named',
    [
        (4, dict(init_cfg='whole.pth'), ['whole.pth', 'part.fc.weight']),
        (3, dict(init_cfg='part.pth'), ['part.pth', 'head.weight']),
        (4, dict(part_init_cfg='part.pth'), ['part.pth', 'fc.weight']),
        (3, dict(part_init_cfg='whole.pth'), ['whole.pth', "init_cfg.prefix='part.'"]),
    ],
)
def test_weights_of_another_network_are_refused(weights, width, kwargs, named):
    model = Whole(width, **{key: pretrained(weights / name) for key, name in kwargs.items()})
    before = {name: x.clone() for name, x in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        model.init_weights()
    assert all(word in str(error.value) for word in named)
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())


def test_a_prefix_that_no_tensor_has_is_named(weights):
    model = Whole(part_init_cfg=pretrained(weights / 'whole.pth', prefix='backbone.'))
    with pytest.raises(CheckpointError, match=r'whole.pth .*backbone\.'):
        model.init_weights()


def test_other_kinds_of_init_cfg_are_mmengines(weights):
    model = Part(init_cfg=dict(type='Constant', layer='Linear', val=2.0, bias=1.0))
    model.init_weights()
    assert (model.fc.weight == 2).all() and (model.fc.bias == 1).all()
