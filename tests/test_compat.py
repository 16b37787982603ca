"""One test for each private name that `a2sg_zoo.compat` uses: where one fails, an upgrade moved that name."""

import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from mmengine.model import ImgDataPreprocessor
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


def test_tensors_in():
    """torch.utils._pytree.tree_leaves"""
    a, b, c = (torch.ones(i) for i in (1, 2, 3))
    found = compat.tensors_in([a, (3, dict(x=b), None), OrderedDict(y=[c])])
    assert [x.numel() for x in found] == [1, 2, 3] and found[0] is a


def test_dispatch_mode():
    """torch.utils._python_dispatch.TorchDispatchMode"""
    seen = []

    class Watch(compat.dispatch_mode()):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    with Watch():
        torch.ones(2).mul(3)
    assert torch.ops.aten.mul.Tensor in seen


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


@pytest.mark.parametrize('swaps', [True, False])
def test_swaps_channels(swaps):
    """mmengine.model.ImgDataPreprocessor._channel_conversion"""
    preprocessor = ImgDataPreprocessor(bgr_to_rgb=swaps)
    assert compat.swaps_channels(preprocessor) is swaps
    image = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1)
    (out,) = preprocessor(dict(inputs=[image]))['inputs']
    assert (out.flatten().tolist() == [2, 1, 0]) is swaps


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
