"""Training with weights, gradients and optimiser state divided among the processes, by one line of the config."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.models import unwrap_model


@HOOKS.register_module()
class ShardingHook(Hook):
    """Fully sharded data parallel training: `default_hooks = dict(sharding=dict(type='ShardingHook'))`.

    Without this hook, every process holds the whole state of the training (DistributedDataParallel). With it, each of N
    processes holds one N-th of the weights, gradients and optimiser state. Weights are gathered for each forward and
    backward pass. Losses and gradients equal those of DistributedDataParallel.

    The whole network is built, initialised and, in a resumed run, loaded; then it is divided. Checkpoints are whole, so
    any number of processes, also without this hook, can resume from them. The weights are packed, so `channels_last`
    has no effect. A single process divides nothing.

    Args:
        units: regular expressions for names of modules, such as r'backbone\\.blocks\\.\\d+'. The weights of such a
            module are gathered only while it runs. By default all weights are gathered at once.

    Raises:
        ConfigError: `units` has a pattern that matches no module.

    Source: PyTorch's FSDP2 (`torch.distributed.fsdp.fully_shard`); Zhao et al., 2023 (arXiv 2304.11277).
    """

    # before the hooks that look at parameters
    priority = 'VERY_HIGH'

    def __init__(self, units: str | Sequence[str] = ()) -> None:
        self.units = [units] if isinstance(units, str) else list(units)
        self._whole: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Divides the network and the state of the optimiser."""
        if runner.world_size == 1:
            return
        # MMEngine has wrapped the network for the other kind of data parallel training
        model = unwrap_model(runner.model)
        model.to(memory_format=torch.contiguous_format)
        before = dict(model.named_parameters())
        mesh = init_device_mesh(next(model.parameters()).device.type, (runner.world_size,))
        for unit in self._units_of(model):
            fully_shard(unit, mesh=mesh)
        fully_shard(model, mesh=mesh)
        after = {before[name]: p for name, p in model.named_parameters()}
        for wrapper in wrappers_of(runner.optim_wrapper):
            optimizer = wrapper.optimizer
            if fisher := getattr(wrapper, 'fisher', None):
                parameters = [p for group in optimizer.param_groups for p in group['params']]
                wrapper.fisher = [_divided(x, p, after[p]) for x, p in zip(fisher, parameters)]
            for group in optimizer.param_groups:
                group['params'] = [after[p] for p in group['params']]
            optimizer.state = defaultdict(
                dict,
                {
                    after[p]: {key: _divided(x, p, after[p]) for key, x in state.items()}
                    for p, state in optimizer.state.items()
                },
            )
        runner.model = model
        save = runner.save_checkpoint

        def save_whole(*args: Any, **kwargs: Any) -> None:
            # all processes take part in gathering, and MMEngine saves in the first alone
            self._whole = dict(state_dict=_whole(model.state_dict()))
            if kwargs.get('save_optimizer', True):
                self._whole['optimizer'] = _whole(runner.optim_wrapper.state_dict())
            save(*args, **kwargs)
            self._whole = None

        runner.save_checkpoint = save_whole

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Puts the whole weights and state into a checkpoint."""
        checkpoint.update(self._whole or {})

    def _units_of(self, model: nn.Module) -> Iterator[nn.Module]:
        for pattern in self.units:
            found = [module for name, module in model.named_modules() if re.fullmatch(pattern, name)]
            if not found:
                raise ConfigError(
                    f'ShardingHook: units has {pattern!r}, but no module of {type(model).__name__} has such a name'
                )
            yield from found


def wrappers_of(wrapper: OptimWrapper | OptimWrapperDict) -> list[OptimWrapper]:
    """MMEngine's wrappers of single optimisers.

    Args:
        wrapper: of one or of several optimisers.
    """
    return [*wrapper.values()] if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _divided(x: Any, p: torch.Tensor, part: DTensor) -> Any:
    """This process' part of x, which the optimiser stores for the parameter p; `part` is the divided parameter."""
    return distribute_tensor(x, part.device_mesh, part.placements) if getattr(x, 'shape', None) == p.shape else x


def _whole(state: Any) -> Any:
    """A state dict with its parts gathered on the CPU of the first process; other processes get None for each."""
    if isinstance(state, DTensor):
        state = state.full_tensor()
        return state.cpu() if is_main_process() else None
    if isinstance(state, dict):
        return {key: _whole(x) for key, x in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(map(_whole, state))
    return state.cpu() if hasattr(state, 'cpu') else state
