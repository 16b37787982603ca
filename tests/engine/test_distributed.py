"""Two processes train as one does, divided or not, and one goes on where two stopped, and the other way round."""

import os
import re
import socket
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from torch import distributed, multiprocessing, nn
from torch.distributed.tensor import DTensor
from torch.nn.modules.batchnorm import _BatchNorm

from a2sg_zoo.adaptation import A2SG
from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.hooks.adaptation import AdaptationHook
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.engine.samplers import ResumableSampler
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LIF
from tests.engine import toy

ROOT = Path(__file__).resolve().parents[2]
FISHER = dict(wrapper='FisherOptimWrapper')
DDP = dict(launcher='pytorch', cfg=dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None)))


class Net(BaseModel):
    """Spiking layers without batch norms, whose statistics are those of a process' own half of the batch."""

    def __init__(self):
        super().__init__()
        self.first, self.blocks = (
            nn.Linear(4, 9),
            nn.ModuleList(nn.Sequential(LIF(), nn.Linear(9, 9)) for _ in range(2)),
        )
        self.neuron, self.head = LIF(), nn.Linear(9, 1)
        for layer in [self.first, *(block[1] for block in self.blocks)]:  # neurons are to fire in all layers
            nn.init.normal_(layer.weight, std=0.3 if layer is self.first else 2)
            nn.init.uniform_(layer.bias, 0, 2)
        self.double()

    def forward(self, inputs, targets, mode='tensor'):
        x = self.first(torch.stack(list(inputs)).double()).expand(3, -1, -1)
        for block in self.blocks:
            x = block(x)
        output = self.head(self.neuron(x).mean(0)).squeeze(1)
        return dict(loss=(output - torch.stack(list(targets))).square().mean()) if mode == 'loss' else output


class Parts(toy.Hook):
    """Notes how many numbers of weights and of the optimiser this process holds in the end, and the samples it saw."""

    def before_train(self, runner):
        self.samples = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.samples += [round(10 * float(target)) for target in data_batch['targets']]

    def after_train(self, runner):
        tensors = [
            *runner.model.parameters(),
            *(x for state in runner.optim_wrapper.optimizer.state.values() for x in state.values() if x.dim()),
        ]
        self.held = sum((x.to_local() if isinstance(x, DTensor) else x).numel() for x in tensors)
        self.whole = sum(x.numel() for x in tensors)


class Statistics(toy.Hook):
    """Notes the running statistics of this process after each iteration and before each evaluation."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def before_val_epoch(self, runner):
        norm = runner.model.module.features[1]
        self.seen.append((norm.running_mean.clone(), norm.running_var.clone()))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.before_val_epoch(runner)


def train(folder, batch_size, resume=None, wrapper='OptimWrapper', **kwargs):
    """Trains in this process, one of one or more; returns `Parts`."""
    torch.manual_seed(0)
    parts = Parts()
    policy = A2SG(searcher=dict(type='ExactSearcher'), sample=None, candidates=16, interval=2)
    runner = toy.runner(
        folder,
        Net(),
        batch_size=batch_size,
        max_iters=8,
        clip_grad=dict(max_norm=0.5),
        hooks=[AdaptationHook(policy, log_interval=4), parts],
        load_from=resume,
        resume=bool(resume),
        **kwargs,
    )
    runner.optim_wrapper['type'] = wrapper
    runner.train()
    return parts


def sharding(**kwargs):
    return dict(default_hooks=dict(sharding=dict(type='ShardingHook', **kwargs), guard=dict(type='NonFiniteGuard')))


def pair(rank, port, folder):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    torch.set_num_threads(1)
    distributed.init_process_group('gloo')
    found = {}
    for name, kwargs in (
        ('ddp', {}),
        ('sharded', sharding()),
        ('units', sharding(units=r'blocks\.\d')),
        ('resumed', dict(sharding(), resume=str(folder / 'alone' / 'iter_4.pth'))),
        ('fisher_resumed', dict(sharding(), resume=str(folder / 'fisher' / 'iter_4.pth'), **FISHER)),
    ):
        parts = train(folder / name, 2, **DDP, **kwargs)
        found[name] = parts.held, parts.whole
    found['samples'] = train(folder / 'larger', 3, **DDP, resume=str(folder / 'alone' / 'iter_4.pth')).samples
    statistics = Statistics()
    options = dict(scores={1: 1.0, 2: 2.0}, val_interval=1, max_iters=2, hooks=[statistics], **DDP)
    toy.runner(folder / 'norms', toy.Net(), batch_size=2, checkpoint=dict(interval=2), **options).train()
    found['norms'] = statistics.seen
    torch.save(found, folder / f'parts{rank}.pt')
    with pytest.raises(ConfigError, match=r"units has 'block'.*Net"):
        train(folder / 'mistake', 2, **DDP, **sharding(units=['block']))
    distributed.destroy_process_group()


def free_port():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    """A folder with the runs of two processes, and that of one alone."""
    folder = tmp_path_factory.mktemp('runs')
    parts = train(folder / 'alone', 4)
    train(folder / 'fisher', 4, **FISHER)
    assert parts.held == parts.whole
    multiprocessing.start_processes(pair, (free_port(), folder), nprocs=2, start_method='spawn')
    return folder


def last(folder):
    return torch.load(folder / 'iter_8.pth', weights_only=False)


def agree(found, expected):
    """Weights, windows and optimiser are the same but for the order of sums."""
    assert found['state_dict'].keys() == expected['state_dict'].keys()
    for name, x in expected['state_dict'].items():
        torch.testing.assert_close(found['state_dict'][name], x, rtol=1e-9, atol=1e-12, msg=name)
    assert found['optimizer']['param_groups'] == expected['optimizer']['param_groups']
    for i, state in expected['optimizer']['state'].items():
        for key, x in state.items():
            torch.testing.assert_close(found['optimizer']['state'][i][key], x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('name', ['ddp', 'sharded', 'units', 'resumed'])
def test_two_processes_train_as_one(runs, name):
    alone = last(runs / 'alone')
    assert any(len(set(beta.tolist())) > 1 for key, beta in alone['state_dict'].items() if key.endswith('.beta'))
    agree(last(runs / name), alone)


def test_a_running_mean_of_the_fisher_information_is_divided(runs):
    found, expected = last(runs / 'fisher_resumed'), last(runs / 'fisher')
    agree(found, expected)
    for x, y in zip(found['optimizer']['fisher']['mean'], expected['optimizer']['fisher']['mean'], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('name', ['ddp', 'sharded'])
def test_one_goes_on_where_two_stopped(runs, name, tmp_path):
    train(tmp_path, 4, resume=str(runs / name / 'iter_4.pth'))
    agree(last(tmp_path), last(runs / 'alone'))


def test_more_processes_continue_with_the_next_sample(runs):
    """One process saw 4 samples in each of 4 steps; two processes go on with 3 each."""
    shares = [torch.load(runs / f'parts{rank}.pt')['samples'] for rank in range(2)]
    stream = islice(ResumableSampler(toy.Points(), seed=7).indices(16), 4 * 2 * 3)
    assert [sample for pair in zip(*shares) for sample in pair] == list(stream)


def test_each_process_holds_its_part(runs):
    parts = [torch.load(runs / f'parts{rank}.pt') for rank in range(2)]
    for name in ('sharded', 'units', 'resumed'):
        held = [part[name][0] for part in parts]
        # ceilings of 9 rows in 2: 5 and 4
        assert sum(held) == parts[0][name][1] and max(held) < 0.62 * sum(held)
    assert parts[0]['ddp'][0] == parts[0]['ddp'][1]


def test_processes_evaluate_and_save_the_same_running_statistics(runs):
    first, second = (torch.load(runs / f'parts{rank}.pt')['norms'] for rank in range(2))
    # the second iteration saves a checkpoint
    (trained, evaluated, saved, _), (other, other_evaluated, other_saved, _) = first, second
    saved_file = torch.load(runs / 'norms' / 'iter_2.pth', weights_only=False)['state_dict']
    for i, name in enumerate(('running_mean', 'running_var')):
        assert not torch.equal(trained[i], other[i])
        torch.testing.assert_close(evaluated[i], (trained[i] + other[i]) / 2)
        assert torch.equal(evaluated[i], other_evaluated[i]) and torch.equal(saved[i], other_saved[i])
        assert torch.equal(saved[i], saved_file[f'features.1.{name}'])


@pytest.mark.skipif(torch.cuda.is_available(), reason='what is said where there is no CUDA device')
@pytest.mark.parametrize('launcher, named', [('slurm', '--launcher slurm'), ('pytorch', '--nproc-per-node')])
def test_launchers_without_cuda(launcher, named, tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    cfg = prepare_config('configs/resnet_small_digits_tri.py', demo=True, work_dir=tmp_path, launcher=launcher)
    with pytest.raises(ConfigError, match=named):
        build_runner(cfg)


@pytest.mark.skipif(torch.cuda.is_available(), reason='with a CUDA device there is SyncBatchNorm')
def test_without_cuda_batch_norms_are_not_synchronised(tmp_path, monkeypatch):
    for key, value in dict(
        RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=free_port()
    ).items():
        monkeypatch.setenv(key, value)
    cfg = prepare_config(
        'configs/resnet19_cifar10_tri.py',
        {
            'model.backbone.depths': (1,),
            'model.backbone.widths': (8,),
            'model.backbone.stem': 8,
            'model.head.in_channels': 8,
        },
        demo=True,
        work_dir=tmp_path,
        launcher='pytorch',
    )
    assert cfg.sync_bn == 'torch'
    try:
        runner = build_runner(cfg)
    finally:
        distributed.destroy_process_group()
    norms = [module for module in runner.model.modules() if isinstance(module, _BatchNorm)]
    assert norms and not any(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    assert 'WARNING - sync_bn' in next(tmp_path.rglob('*.log')).read_text()


@pytest.mark.slow
@pytest.mark.parametrize('hook', [(), ('default_hooks.sharding.type=ShardingHook',)], ids=['ddp', 'sharded'])
def test_command_line(hook, tmp_path):
    """Two processes by torchrun; then one, with batches of twice the size, goes on to the end."""
    config = [
        str(ROOT / 'tools/train.py'),
        str(ROOT / 'configs/resnet_small_digits_a2sg.py'),
        '--demo',
        '--work-dir',
        str(tmp_path / 'run'),
    ]
    options = [
        'train_cfg.val_interval=20',
        'default_hooks.checkpoint.interval=10',
        'default_hooks.logger.interval=5',
        'sync_bn=torch',
    ]
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}

    def run(*words):
        done = subprocess.run([sys.executable, *words], env=env, text=True, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def losses(output):
        return dict(re.findall(r'Iter\(train\) \[ ?(\d+)/\d+\].*loss: ([\d.]+)', output))

    output = run(
        '-m',
        'torch.distributed.run',
        '--nproc-per-node',
        '2',
        *config,
        '--launcher',
        'pytorch',
        '--cfg-options',
        'train_cfg.max_iters=10',
        'train_dataloader.batch_size=16',
        *options,
        *hook,
    )
    assert torch.cuda.is_available() or output.count('WARNING - sync_bn') == 1
    first, rest = losses(output), losses(run(*config, '--resume', '--cfg-options', 'train_cfg.max_iters=20', *options))
    assert list(first) == ['5', '10'] and list(rest) == ['15', '20']
    assert float(rest['20']) < float(first['5'])
