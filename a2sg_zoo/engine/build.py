"""From a config to MMEngine's runner, its parts checked against each other."""

import inspect
import logging
import os
from copy import deepcopy
from itertools import count
from pathlib import Path

import torch
from mmengine.runner import Runner
from torch import distributed

from a2sg_zoo.engine.memory import keep_freed_memory
from a2sg_zoo.engine.parts import hooks_of, schedules_of
from a2sg_zoo.engine.runner import ZooRunner
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.utils.models import unwrap_model

_runs = count(1)


def build_runner(cfg):
    """MMEngine's runner for a config, its parts checked against each other."""
    # MMEngine keeps logs and visualizers by name and second of the start: two runs of one process would share theirs
    cfg.setdefault('experiment_name', f'{Path(cfg.filename or "run").stem}_{next(_runs)}')
    apart = False
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        apart = _join_without_cuda(cfg)
    parts = {name: deepcopy(cfg[name]) for name in inspect.signature(Runner).parameters if name in cfg}
    parts['custom_hooks'] = [*hooks_of(cfg), *parts.get('custom_hooks', [])]
    parts['param_scheduler'] = schedules_of(cfg)
    try:
        runner = ZooRunner(**parts, cfg=cfg)
    except A2SGError:
        raise
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise ConfigError(f'{cfg.filename}: the network cannot be built: {error}') from error
    check_channels(unwrap_model(runner.model))
    if cfg.get('channels_last'):
        model = unwrap_model(runner.model).to(memory_format=torch.channels_last)
        if model is not runner.model:  # a wrapper lays its buffers out as it finds the weights
            runner.model = runner.wrap_model(cfg.get('model_wrapper_cfg'), model)
    if compiled := runner.cfg.pop('compile', None):
        # MMEngine would compile the whole training step, for minutes, and again whenever the learning rate changes
        unwrap_model(runner.model).backbone.compile(**(compiled if isinstance(compiled, dict) else {}))
    if not torch.cuda.is_available():
        keep_freed_memory()
        # it warns of the absence, which is no fault, when the first kernel is compiled
        logging.getLogger('torch.utils.cpp_extension').setLevel(logging.ERROR)
    if apart:
        runner.logger.warning(
            'sync_bn is left out, for SyncBatchNorm needs CUDA devices: batch norms take, and keep, '
            "the statistics of their own process' share of the batch"
        )
    return runner


def _join_without_cuda(cfg):
    """What MMEngine's launchers take for granted is a CUDA device for each process.

    Returns:
        whether the config asks for batch norms over all processes, which it does no more: there are none for CPUs.
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
    apart = cfg.get('sync_bn') is not None
    cfg.sync_bn = None
    return apart


def check_channels(model):
    """Raises ConfigError where one part of a network gives other channels than the next one takes."""
    parts = [
        (name, getattr(model, name))
        for name in ('backbone', 'neck', 'decode_head', 'head')
        if getattr(model, name, None) is not None
    ]
    for (giver, a), (taker, b) in zip(parts, parts[1:]):
        gives = getattr(a, 'out_channels', None)
        takes = list(b.in_channels) if isinstance(b.in_channels, (list, tuple)) else [b.in_channels]
        if isinstance(gives, int):  # a neck of MMSegmentation: the same for each of its outputs
            gives = [gives] * len(takes)
        if gives is not None and list(gives) != takes:
            raise ConfigError(f'model.{taker}.in_channels = {takes}, but model.{giver} gives {list(gives)} channels')


def summary(runner, *loaders):
    """One line: model, parameters, T, data, method, device."""
    model = unwrap_model(runner.model)
    backbone = getattr(model, 'backbone', model)
    policy = next((h.policy for h in runner.hooks if hasattr(h, 'policy')), None)
    data = ', '.join(f'{len(loader.dataset)} {name} images' for name, loader in loaders)
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
                f'device: {torch.cuda.get_device_name(device) if device.type == "cuda" else device}'
                f' x {runner.world_size}',
            ],
        )
    )
