"""From a config to a runner with parts that fit each other."""

import inspect
import logging
import os
from collections.abc import Iterator, Sized
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import distributed, nn
from torch.utils.data import DataLoader

from a2sg_zoo.engine.hooks.frozen import FrozenHook
from a2sg_zoo.engine.memory import keep_freed_memory
from a2sg_zoo.engine.misfits import missing_parts
from a2sg_zoo.engine.parts import hooks_of
from a2sg_zoo.engine.runner import ZooRunner
from a2sg_zoo.engine.schedules import schedules_of
from a2sg_zoo.engine.test_time import check_padding, check_window
from a2sg_zoo.engine.validation import raise_problems
from a2sg_zoo.errors import A2SGError, ConfigError, DataError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.loaders import fetch
from a2sg_zoo.utils.models import unwrap_model

_runs = count(1)
_WEB = ('http://', 'https://')


def build_runner(cfg: Config) -> ZooRunner:
    """Build the runner of a config, and check its parts against each other. No data is read.

    Args:
        cfg: from `prepare_config`.

    Raises:
        ConfigError: a part cannot be built, or two parts do not fit; the message names the key.
    """
    raise_problems([*missing_parts(cfg)], cfg.filename)
    replaced = list(_hide_queries(cfg))
    # MMEngine stores logs and visualizers under a name and the second of the start: two runs would share theirs
    cfg.setdefault('experiment_name', f'{Path(cfg.filename or "run").stem}_{next(_runs)}')
    unsynchronised = False
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        unsynchronised = _join_without_cuda(cfg)
    parts = {name: deepcopy(cfg[name]) for name in inspect.signature(Runner).parameters if name in cfg}
    parts['custom_hooks'] = [*hooks_of(cfg), *(parts.get('custom_hooks') or ())]
    parts['param_scheduler'] = schedules_of(cfg)
    try:
        runner = ZooRunner(**parts, cfg=cfg)
    except (A2SGError, OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of any constructor
        raise ConfigError(f'{cfg.filename}: the run cannot be set up: {type(error).__name__}: {error}') from error
    model = unwrap_model(runner.model)
    check_channels(model)
    if hasattr(model, 'decode_head'):
        check_window(model.test_cfg)
        check_padding(model.data_preprocessor)
    frozen = [hook for hook in runner.hooks if isinstance(hook, FrozenHook)]
    for hook in frozen:
        hook.freeze(model)
    if cfg.get('channels_last'):
        model.to(memory_format=torch.channels_last)
    if model is not runner.model and (frozen or cfg.get('channels_last')):
        # a wrapper gives its buffers the layout of the weights that it finds
        runner.model = runner.wrap_model(cfg.get('model_wrapper_cfg'), model)
    if compiled := runner.cfg.pop('compile', None):
        compile_backbone(unwrap_model(runner.model), compiled, runner.logger)
    if not torch.cuda.is_available():
        keep_freed_memory()
        # it warns of the absence, which is no fault, when the first kernel is compiled
        logging.getLogger('torch.utils.cpp_extension').setLevel(logging.ERROR)
    for line in replaced:
        runner.logger.info(line)
    if unsynchronised:
        runner.logger.warning(
            'sync_bn is not used, because SyncBatchNorm needs CUDA devices: each process computes batch norm '
            'statistics from its own share of the batch'
        )
    return runner


def compile_backbone(model: nn.Module, compiled: bool | dict[str, Any], logger: logging.Logger) -> None:
    """Compiles the backbone of a network as a whole, and warns on a CUDA device.

    MMEngine would compile the whole training step, which takes minutes at each change of the learning rate.

    Args:
        model: the network.
        compiled: True, or options of `torch.compile`.
        logger: gets the warning.
    """
    if next(model.parameters()).is_cuda:
        logger.warning(
            'compile: the gradients of a compiled backbone were wrong on a CUDA device (PyTorch 2.11); leave out '
            'compile in a training there'
        )
    cast(nn.Module, model.backbone).compile(**(compiled if isinstance(compiled, dict) else {}))


def _hide_queries(node: Any) -> Iterator[str]:
    """Puts the downloaded file in place of each address of weights that has a query, such as a token: a config is
    written into logs, checkpoints and the folder of the run. Yields a line on each."""
    for key, value in enumerate(node) if isinstance(node, list) else [*node.items()]:
        if isinstance(value, (dict, list)):
            yield from _hide_queries(value)
        elif key in ('load_from', 'checkpoint') and isinstance(value, str) and value.startswith(_WEB):
            if web.shown(value) != value:
                node[key] = str(fetch(value)[0])
                yield f'{key} = {web.shown(value)} is in {node[key]}'


def _join_without_cuda(cfg: Config) -> bool:
    """Joins the processes of a run on CPUs; MMEngine's launchers expect a CUDA device for each.

    Returns:
        Whether `sync_bn` was removed from the config, because SyncBatchNorm has no version for CPUs.
    """
    if cfg.launcher != 'pytorch':
        raise ConfigError(
            f'--launcher {cfg.launcher} needs a CUDA device for each process, and there is none; on '
            'CPUs, use torchrun and --launcher pytorch'
        )
    if 'RANK' not in os.environ:
        raise ConfigError(
            '--launcher pytorch is for processes that torchrun starts: '
            'torchrun --nproc-per-node 2 tools/train.py CONFIG --launcher pytorch'
        )
    if not distributed.is_initialized():
        distributed.init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    cfg.model_wrapper_cfg = {'device_ids': None, **wrapper}
    unsynchronised = cfg.get('sync_bn') is not None
    cfg.sync_bn = None
    return unsynchronised


def read_loader(runner: Runner, name: str) -> DataLoader:
    """A data loader of a run, with its data set, which is built here.

    Args:
        runner: from `build_runner`.
        name: its part of the config, such as 'train_dataloader'.

    Raises:
        ConfigError: the loader or its loop cannot be set up, or there is no batch; the message names the key.
        DataError: the data set cannot be built, or its data is missing or damaged.
    """
    part = runner.cfg[name]
    try:
        loader = getattr(runner, name)
    except (A2SGError, OSError, MemoryError):
        raise
    except Exception as error:  # of any sampler, loader or loop
        loop = name.replace('dataloader', 'cfg')
        raise ConfigError(f'{name} or {loop} cannot be set up: {type(error).__name__}: {error}') from error
    samples = len(loader.dataset)
    if not samples:
        raise DataError(f'{name}.dataset has no samples')
    if part.get('drop_last') and samples < part.get('batch_size', 1) * runner.world_size:
        raise ConfigError(
            f'{name}.drop_last: no batch is left, because the data set has {samples} samples and '
            f'{name}.batch_size = {part.batch_size}; leave out drop_last, or take smaller batches'
        )
    return loader


def check_channels(model: nn.Module) -> None:
    """Checks that each part of a network gives the channels that the next part takes.

    Args:
        model: with some of backbone, neck, and a head.

    Raises:
        ConfigError: the channels differ; the message names both keys.
    """
    parts = [
        (name, getattr(model, name))
        for name in ('backbone', 'neck', 'decode_head', 'head', 'detection_head')
        if getattr(model, name, None) is not None
    ]
    for (giver, a), (taker, b) in zip(parts, parts[1:]):
        gives, read = getattr(a, 'out_channels', None), getattr(b, 'in_index', None)
        if gives is None:
            continue
        takes, read = _as_list(b.in_channels), None if read is None else _as_list(read)
        if isinstance(gives, int):  # all outputs of a neck of MMSegmentation have the same number
            outputs = getattr(a, 'num_outs', None) or 1 + max(map(abs, read or range(len(takes))))
            gives = [gives] * outputs
        at = ''
        if read is not None:  # a head of MMSegmentation chooses outputs
            outputs = len(gives)
            if not all(-outputs <= i < outputs for i in read):
                raise ConfigError(
                    f'model.{taker}.in_index = {read}, but model.{giver} has {outputs} outputs, from 0 on'
                )
            gives, at = [gives[i] for i in read], f' at model.{taker}.in_index = {read}'
            if getattr(b, 'input_transform', None) == 'resize_concat':
                gives = [sum(gives)]
        if list(gives) != takes:
            raise ConfigError(
                f'model.{taker}.in_channels = {takes}, but model.{giver} gives {list(gives)} channels{at}'
            )


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def summary(runner: Runner, *loaders: tuple[str, DataLoader]) -> str:
    """One line about a run: model, parameters, T, data, method, device.

    Args:
        runner: of the run.
        *loaders: (what the images are for, loader).
    """
    model = unwrap_model(runner.model)
    backbone = getattr(model, 'backbone', model)
    policy = next((h.policy for h in runner.hooks if hasattr(h, 'policy')), None)
    # a language model reads texts
    kind = 'sequences' if hasattr(model, 'advance') else 'images'
    data = ', '.join(f'{len(cast(Sized, loader.dataset))} {name} {kind}' for name, loader in loaders)
    step = (runner.cfg.get('optim_method') or {}).get('type')
    root = getattr(loaders[0][1].dataset, 'data_root', None) if loaders else None
    device = next(model.parameters()).device
    return ' | '.join(
        filter(
            None,
            [
                f'{type(model).__name__} on {type(backbone).__name__}',
                f'{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters',
                f'T = {getattr(backbone, "T", "-")}',
                f'data: {data}' + (f' from {root}' if root else ''),
                f'method: {policy}' if policy else 'method: surrogate of the config, fixed',
                # such a step takes the place of one that chooses the precision
                step and f'step: {step}, float32',
                f'device: {torch.cuda.get_device_name(device) if device.type == "cuda" else device}'
                f' x {runner.world_size}',
            ],
        )
    )
