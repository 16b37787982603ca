"""Commands of a recipe, in each spelling."""

import shlex

import pytest
from mmengine.config import Config

from a2sg_zoo.publishing.entries import _settings, parse_command

ARGUMENTS = '--seed 0 --amp --launcher pytorch --local_rank 1 x.py --cfg-options a.b=1 c=[2,3] --cfg-options d=e'


@pytest.mark.parametrize(
    'command',
    [
        f'python tools/train.py {ARGUMENTS}',
        f'torchrun --nproc-per-node 2 /there/tools/train.py {ARGUMENTS}',
        f'python -m a2sg_zoo.cli.train {ARGUMENTS}',
        f'a2sg-zoo train {ARGUMENTS}',
        f'/bin/a2sg-zoo train {ARGUMENTS}',
        ['/bin/python', '/site packages/a2sg_zoo/tools/train.py', *shlex.split(ARGUMENTS)],
    ],
    ids=str,
)
def test_spellings_of_the_command(command):
    found = parse_command(command, 'x')
    assert (found.config, found.seed, found.amp, found.launcher) == ('x.py', 0, True, 'pytorch')
    assert found.cfg_options == {'a.b': 1, 'c': [2, 3], 'd': 'e'} and not found.demo and found.resume is None
    assert found.written_options == ['a.b=1', 'c=[2,3]', 'd=e']


def test_the_learning_rate_may_be_that_of_the_optimizer():
    wrapper = dict(optimizer=dict(type='AdamW'))
    cfg = Config(dict(optim_wrapper=wrapper, train_dataloader=dict(batch_size=4), test_dataloader=dict(dataset=dict())))
    assert _settings(cfg, 1)['learning_rate'] == 0.001
