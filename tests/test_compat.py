"""One test for each private name that `a2sg_zoo.compat` uses: where one fails, an upgrade moved that name."""

import subprocess
import sys

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from a2sg_zoo import compat


def test_leave_uncompiled():
    """torch._disable_dynamo"""
    traced = []

    @compat.leave_uncompiled
    def apart(x):
        traced.append(torch.compiler.is_compiling())
        return x + 1

    compiled = torch.compile(lambda x: apart(x * 2) * 3, backend='eager')
    assert compiled(torch.ones(2)).tolist() == [9, 9] and traced == [False]


def test_leave_uncompiled_loads_no_compiler():
    code = 'import sys, a2sg_zoo.compat as c; c.leave_uncompiled(print); sys.exit("torch._dynamo" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def test_tensor_version():
    """torch.Tensor._version"""
    x = torch.ones(2)
    before = compat.tensor_version(x)
    assert compat.tensor_version(x) == before
    x.add_(1)
    assert compat.tensor_version(x) > before


def test_accumulation_steps():
    """mmengine.optim.OptimWrapper._accumulative_counts"""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    assert compat.accumulation_steps(OptimWrapper(optimizer)) == 1
    assert compat.accumulation_steps(OptimWrapper(optimizer, accumulative_counts=3)) == 3


def test_randomness(tmp_path):
    """mmengine.runner.Runner._randomness_cfg"""
    runner = Runner(
        nn.Linear(1, 1),
        str(tmp_path),
        randomness=dict(seed=3, diff_rank_seed=True),
        default_hooks=dict(logger=None),
        default_scope='a2sg_zoo',
    )
    assert compat.randomness(runner) == dict(seed=3, diff_rank_seed=True)


def test_checkpoint_schemes():
    """mmengine.runner.CheckpointLoader._schemes"""
    assert {'', 'https://', 'modelzoo://', 'torchvision://'} <= {*compat.checkpoint_schemes()}


def test_the_backward_pass_in_progress():
    """torch._C._current_graph_task_id, and queue_callback of torch.autograd.Variable._execution_engine"""
    seen = []
    x = torch.ones(1, requires_grad=True)
    y = x * 2
    y.register_hook(lambda grad: seen.append(compat.backward_in_progress()))
    y.register_hook(lambda grad: compat.queue_after_backward(lambda: seen.append(x.grad.tolist())))
    assert compat.backward_in_progress() == -1
    y.backward()
    assert seen[0] >= 0 and seen[1] == [2.0] and compat.backward_in_progress() == -1
