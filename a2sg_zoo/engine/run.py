"""From a config file to a run: what `tools/train.py` and `tools/test.py` call."""

import argparse
import json
import logging
import os
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import distributed

from a2sg_zoo.engine.config import load_config, validate_config
from a2sg_zoo.engine.memory import keep_freed_memory
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError, with_commands_of_here
from a2sg_zoo.hub.checkpoint import find_resume_checkpoint
from a2sg_zoo.hub.fetch import locate

_runs = count(1)


@contextmanager
def errors_for_people():
    """Prints an expected error without its traceback and ends with status 2; A2SG_DEBUG=1 shows the traceback."""
    try:
        yield
    except A2SGError as error:
        if os.environ.get('A2SG_DEBUG'):
            raise
        # a DataLoader's worker wraps the message in its own traceback
        message = str(error).rsplit(f'{type(error).__name__}: ', 1)[-1].strip()
        print(f'\nerror: {with_commands_of_here(message)}', file=sys.stderr)
        sys.exit(2)


class _Options(DictAction):
    """MMEngine's, which keeps the options as they were written, too, in `written_options`."""

    def __call__(self, parser, namespace, values, option_string=None):
        super().__call__(parser, namespace, values, option_string)
        namespace.written_options = [*namespace.written_options, *values]


def add_train_arguments(parser):
    """Lets an argument parser read the command lines of `tools/train.py`."""
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of the run (default: work_dirs/NAME)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint, or from the newest one in the work dir',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: float16 on CUDA, bfloat16 on a CPU')
    parser.add_argument('--demo', action='store_true', help='embedded miniature data and a short schedule')
    parser.add_argument('--seed', type=int, help="of all random generators (default: the config's)")
    parser.add_argument('--cfg-options', nargs='+', action=_Options, metavar='KEY=VALUE', help='override the config')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    parser.set_defaults(written_options=[])


def prepare_config(path, options=None, demo=False, work_dir=None, seed=None, launcher='none'):
    """The complete, validated config of a run.

    Args:
        path: config file.
        options: overrides, {dotted key: value}.
        demo: swap in the embedded data set and short schedule that the config describes under `demo`.
        work_dir: folder of the run; by default work_dirs/NAME, with _demo appended for a demo.
        seed: of all generators.
        launcher: MMEngine's launcher ('none', 'pytorch', 'slurm', 'mpi').
    """
    cfg = load_config(path, options, demo=demo)
    validate_config(cfg)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / (Path(path).stem + ('_demo' if demo else '')))
    if seed is not None:
        cfg.setdefault('randomness', {})['seed'] = seed
    cfg.launcher = launcher
    return cfg


def build_runner(cfg):
    """MMEngine's runner for a config, its parts checked against each other."""
    # MMEngine keeps logs and visualizers by name and second of the start: two runs of one process would share theirs
    cfg.setdefault('experiment_name', f'{Path(cfg.filename or "run").stem}_{next(_runs)}')
    apart = False
    if cfg.get('launcher', 'none') != 'none' and not torch.cuda.is_available():
        apart = _join_without_cuda(cfg)
    try:
        runner = Runner.from_cfg(cfg)
    except A2SGError:
        raise
    except (TypeError, ValueError, KeyError, AssertionError) as error:
        raise ConfigError(f'{cfg.filename}: the network cannot be built: {error}') from error
    check_channels(_unwrapped(runner))
    if cfg.get('channels_last'):
        model = _unwrapped(runner).to(memory_format=torch.channels_last)
        if model is not runner.model:  # a wrapper lays its buffers out as it finds the weights
            runner.model = runner.wrap_model(cfg.get('model_wrapper_cfg'), model)
    if compiled := runner.cfg.pop('compile', None):
        # MMEngine would compile the whole training step, for minutes, and again whenever the learning rate changes
        _unwrapped(runner).backbone.compile(**(compiled if isinstance(compiled, dict) else {}))
    if not torch.cuda.is_available():
        keep_freed_memory()
    if apart:
        runner.logger.warning(
            'sync_bn is left out, for SyncBatchNorm needs CUDA devices: batch norms take, and keep, '
            "the statistics of their own process' share of the batch"
        )
    # MMEngine would log several lines for each parameter of the network
    runner.logger.addFilter(lambda record: not str(record.msg).startswith('paramwise_options'))
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


def _unwrapped(runner):
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


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


def check_classes(model, dataset, where):
    """Raises ConfigError where the head has another number of classes than the data."""
    classes = dataset.metainfo.get('classes')
    for name in ('decode_head', 'head'):
        head = getattr(model, name, None)
        if head is not None and classes is not None and head.num_classes != len(classes):
            raise ConfigError(f'model.{name}.num_classes = {head.num_classes}, but {where} has {len(classes)} classes')


def summary(runner, *loaders):
    """One line: model, parameters, T, data, method, device."""
    model = _unwrapped(runner)
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


def train(cfg, resume=None, amp=False):
    """Trains; returns the runner.

    Args:
        cfg: from `prepare_config`.
        resume: None, a checkpoint, or 'auto' for the newest sound one in the run's folder.
        amp: mixed precision: float16 with a scaled loss on CUDA, bfloat16 elsewhere.
    """
    if amp:
        mixed = 'AmpOptimWrapper' if torch.cuda.is_available() else 'BFloat16OptimWrapper'
        if cfg.optim_wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper', mixed):
            raise ConfigError(
                f'--amp would take the place of {cfg.optim_wrapper.type}, which knows no mixed precision; leave it out'
            )
        cfg.optim_wrapper.type = mixed
    if resume == 'auto':
        resume = find_resume_checkpoint(cfg.work_dir)
        if resume is None:
            print_log(
                f'{cfg.work_dir} holds no checkpoint to resume from: the run begins at iteration 0',
                'current',
                logging.WARNING,
            )
    if resume is not None:
        cfg.resume, cfg.load_from = True, str(resume)
    runner = build_runner(cfg)
    loader = runner.build_dataloader(cfg.train_dataloader, seed=runner.seed)
    runner._train_dataloader = loader
    check_classes(_unwrapped(runner), loader.dataset, 'the training data')
    runner.logger.info(summary(runner, ('training', loader)))
    runner.train()
    return runner


def find_checkpoint(work_dir, which):
    """The 'best' or 'last' checkpoint of a run's folder."""
    found = sorted(Path(work_dir).glob('best_*.pth')) if which == 'best' else [find_resume_checkpoint(work_dir)]
    if not found or found[-1] is None:
        raise CheckpointError(f'{work_dir} holds no {which} checkpoint; train first, or name a checkpoint file')
    return max(found, key=lambda path: Path(path).stat().st_mtime)


def test(cfg, checkpoint, out=None, show_dir=None):
    """Evaluates a checkpoint; returns the metrics.

    Args:
        cfg: from `prepare_config`.
        checkpoint: file to load, or a name in the zoo; 'best' or 'last' for that of the run's folder.
        out: JSON file for the metrics, overall and for each class.
        show_dir: folder for pictures.
    """
    if checkpoint in ('best', 'last'):
        checkpoint = find_checkpoint(cfg.work_dir, checkpoint)
    cfg.load_from, cfg.resume = str(locate(checkpoint)), False
    if show_dir is not None:
        if 'decode_head' not in cfg.model:
            raise ConfigError('--show-dir draws segmentations, and this network gives none; leave it out')
        cfg.default_hooks['pictures'] = dict(type='SegmentationPictures', show_dir=str(show_dir))
    runner = build_runner(cfg)
    check_classes(_unwrapped(runner), runner.test_dataloader.dataset, 'the test data')
    runner.logger.info(summary(runner, ('test', runner.test_dataloader)))
    metrics = runner.test()
    if out is not None:
        per_class = [row for metric in runner.test_evaluator.metrics for row in getattr(metric, 'per_class', [])]
        result = dict(config=str(cfg.filename), checkpoint=str(checkpoint), metrics=metrics, per_class=per_class)
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(result, indent=2) + '\n')
    return metrics
