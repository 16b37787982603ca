"""Frozen parts of a network stay as they are: parameters, statistics of norms, and under every optimizer."""

import pytest
import torch
from torch import nn

from a2sg_zoo.engine.hooks import FrozenHook
from a2sg_zoo.engine.run import prepare_config, train
from a2sg_zoo.errors import ConfigError

SMALL = {'train_cfg.max_iters': 6, 'train_cfg.val_interval': 6, 'log_level': 'ERROR'}


def weights(model):
    return {name: x.clone() for name, x in model.state_dict().items()}


@pytest.mark.parametrize('methods', [['tri'], ['a2sg', 'sam'], ['cpng', 'fisher', 'tet']])
def test_frozen_parts_do_not_move(methods, tmp_path):
    """Weight decay, momentum and a schedule with a least rate would all move them."""
    options = {
        **SMALL,
        'frozen': [r'backbone\.stem', r'backbone\.stages\.[01]'],
        'optim_wrapper.paramwise_cfg': dict(norm_decay_mult=1.0),
        'param_scheduler': [dict(type='CosineAnnealingLR', by_epoch=False, eta_min=0.1)],
        'load_from': None,
    }
    cfg = prepare_config('resnet_small_digits', options, work_dir=tmp_path / 'run', methods=methods)
    first = prepare_config('resnet_small_digits', {**SMALL, 'train_cfg.max_iters': 1}, work_dir=tmp_path / 'first')
    before = weights(train(first).model)
    torch.save(dict(state_dict=before), tmp_path / 'first.pth')
    cfg.load_from = str(tmp_path / 'first.pth')
    runner = train(cfg)
    after = weights(runner.model)
    names = [name for name in before if 'beta' not in name]
    frozen = [name for name in names if name.startswith(('backbone.stem.', 'backbone.stages.0', 'backbone.stages.1'))]
    moving = [name for name in names if name.startswith(('backbone.stages.2', 'head'))]
    assert frozen and all(not p.requires_grad for name, p in runner.model.named_parameters() if name in frozen)
    assert any('running_mean' in name for name in frozen)
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in moving)


def test_the_policy_still_acts_above_frozen_parts(tmp_path):
    options = {**SMALL, 'frozen': 'head', 'adaptation.policy.interval': 1}
    runner = train(prepare_config('resnet_small_digits', options, work_dir=tmp_path, methods=['a2sg']))
    widths = [x for name, x in runner.model.state_dict().items() if name.endswith('beta')]
    assert any((x != x[0]).any() for x in widths)


@pytest.mark.parametrize('modules, named', [(['('], r"'\('"), ([3], '3')])
def test_wrong_patterns(modules, named):
    with pytest.raises(ConfigError, match=named):
        FrozenHook(modules)


def test_names_that_no_module_has():
    with pytest.raises(ConfigError, match="frozen.*'layerr'.*layer"):
        FrozenHook(['layerr']).freeze(nn.ModuleDict(dict(layer=nn.Linear(1, 1))))
    with pytest.raises(ConfigError, match='frozen'):
        FrozenHook('layer').freeze(nn.ModuleDict(dict(layer=nn.Linear(1, 1))))
