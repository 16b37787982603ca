"""From a config file to a run: what `tools/train.py` and `tools/test.py` call."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from a2sg_zoo.engine.build import build_runner, read_loader, summary
from a2sg_zoo.engine.config import load_config
from a2sg_zoo.engine.loaders import set_classes
from a2sg_zoo.engine.machine import machine_faults_named
from a2sg_zoo.engine.misfits import require_parts
from a2sg_zoo.engine.resume import find_checkpoint, find_resume_checkpoint
from a2sg_zoo.engine.test_time import use_versions
from a2sg_zoo.engine.walk import leaves
from a2sg_zoo.engine.work_folder import held, make_folder, set_aside
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import check_output, write_output
from a2sg_zoo.hub.loaders import read_ahead
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.hub.published import class_names

# {head of a network: the hook that draws what the network sees}
_PICTURES = dict(decode_head='SegmentationPictures', detection_head='DetectionPictures', head='ClassificationPictures')


def prepare_config(path, options=None, demo=False, work_dir=None, seed=None, launcher=None, methods=()):
    """The complete, checked config of a run.

    Args:
        path: file or name of a config.
        options: overrides, {dotted key: value}.
        demo: swap in the embedded data set and short schedule that the config describes under `demo`.
        work_dir: folder of the run; by default work_dirs/NAME, with _demo appended for a demo.
        seed: of all generators.
        launcher: MMEngine's launcher ('none', 'pytorch', 'slurm', 'mpi'), by default 'none'. That of the config does
            not count: a copy of a run's config can be started in another way than the run was.
        methods: names or files of methods that the config is trained with.

    Raises:
        ConfigError: the config has a mistake; the message names the file or the key.
    """
    if 'launcher' in (options or {}):
        raise ConfigError('launcher: an override has no effect on it; set --launcher')
    if seed is not None:
        options = {**(options or {}), 'randomness.seed': seed}
    cfg = load_config(path, options, demo, methods)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / (Path(cfg.filename).stem + ('_demo' if demo else '')))
    if launcher is not None and (cfg.get('launcher') or 'none') not in ('none', launcher):
        print_log(f'Not used: launcher = {cfg.launcher!r} in {path}; --launcher sets it', 'current', logging.WARNING)
    cfg.launcher = launcher or 'none'
    return cfg


def train(cfg: Config, resume: str | None = None, amp: bool = False, keep_old: bool = False) -> Runner:
    """Trains the network of a config.

    Args:
        cfg: from `prepare_config`.
        resume: None, a checkpoint, or 'auto' for the newest sound one in the run's folder.
        amp: mixed precision: float16 with a scaled loss on CUDA, bfloat16 elsewhere.
        keep_old: whether a run that is in the folder already moves to a folder with a number; else it is an error.

    Returns:
        The runner after the last iteration.

    Raises:
        ConfigError: the parts of the run do not fit each other, or its folder is in use or holds another run.
        CheckpointError: a checkpoint cannot be read, written or resumed from.
        NonFiniteError: the training met NaN or infinity.
        MachineError: the machine refused memory, space or a process.
    """
    require_parts(cfg, 'train_dataloader', 'a training')
    if amp:
        _use_mixed_precision(cfg)
    if resume == 'auto' or resume is None and cfg.get('resume') and not cfg.get('load_from'):
        resume = find_resume_checkpoint(cfg.work_dir)
        if resume is None:
            cfg.resume = False
            print_log(
                f'{cfg.work_dir} holds no checkpoint to resume from: the run begins at iteration 0',
                'current',
                logging.WARNING,
            )
    if resume is not None:
        cfg.resume, cfg.load_from = True, str(resume)
    own = bool(cfg.get('resume')) and _real(Path(cfg.load_from).parent) == _real(cfg.work_dir)
    if keep_old and not own and not _holds_weights(cfg):
        moved = set_aside(cfg.work_dir, cfg.get('launcher', 'none'))
        if moved is not None:
            print_log(f'{cfg.work_dir} held another run, which is in {moved} now', 'current', logging.WARNING)
    with held(cfg.work_dir, own, cfg.get('launcher', 'none')), machine_faults_named(cfg.work_dir):
        runner = build_runner(cfg)
        loader = read_loader(runner, 'train_dataloader')
        runner.logger.info(summary(runner, ('training', loader)))
        runner.logger.info(f'Run in {runner.work_dir}; environment, config and hooks are in {runner.logger.log_file}')
        runner.train()
    return runner


def _holds_weights(cfg: Config) -> bool:
    """Whether the folder of a run holds weights that the run begins with."""
    parts = {name: part for name, part in cfg.items() if name not in ('demo', 'search')}
    named = [x for key, x in leaves(parts) if key.rpartition('.')[2] in ('load_from', 'checkpoint')]
    folders = [folder for x in named if isinstance(x, str) for folder in (_real(x), _real(Path(x).parent) / 'x')]
    return any(_real(cfg.work_dir) in folder.parents for folder in folders)


def _real(path: str | os.PathLike) -> Path:
    return Path(os.path.realpath(path))


def _use_mixed_precision(cfg: Config) -> None:
    mixed = 'AmpOptimWrapper' if torch.cuda.is_available() else 'BFloat16OptimWrapper'
    if cfg.optim_wrapper.get('type', 'OptimWrapper') not in ('OptimWrapper', 'AutoPrecisionOptimWrapper', mixed):
        raise ConfigError(
            f'--amp would replace optim_wrapper.type = {cfg.optim_wrapper.type}, which has no mixed precision; leave '
            'it out'
        )
    cfg.optim_wrapper.type = mixed


def test(
    cfg: Config,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike | None = None,
    show_dir: str | os.PathLike | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> dict:
    """Evaluates a checkpoint.

    Args:
        cfg: from `prepare_config`.
        checkpoint: file to load, or a name in the zoo; 'best' or 'last' for that of the run's folder.
        out: JSON file for the metrics, overall and for each class, and the confusion matrix of a classification.
        show_dir: folder for pictures of what the network saw.
        scales, flip: versions of each picture by whose mean the network predicts, see `use_versions`.

    Returns:
        The metrics, {name: number}.

    Raises:
        ConfigError: the parts do not fit each other, or `out`, `show_dir` or the run's folder cannot be written.
        CheckpointError: the checkpoint is missing, damaged, or of another network.
    """
    require_parts(cfg, 'test_dataloader', 'a test')
    if out is not None:
        out = check_output(out, 'test')
    drawn = next((hook for head, hook in _PICTURES.items() if head in cfg.model), None)
    if show_dir is not None and drawn is None:
        raise ConfigError(
            '--show-dir draws classifications, segmentations and detections, and this network gives none; leave it out'
        )
    if flip or tuple(scales) != (1.0,):
        use_versions(cfg, scales, flip)
    if checkpoint in ('best', 'last'):
        checkpoint = find_checkpoint(cfg.work_dir, checkpoint)
    cfg.load_from, cfg.resume = str(locate(checkpoint)), False
    if show_dir is not None:
        hook = dict(type=drawn, show_dir=str(show_dir))
        cfg.default_hooks = {**(cfg.get('default_hooks') or {}), 'pictures': hook}
    make_folder(cfg.work_dir)
    with machine_faults_named(cfg.work_dir), read_ahead(cfg.load_from) as contents:
        if classes := class_names(cfg.load_from, contents):
            set_classes(cfg, 'test_dataloader', classes)
        runner = build_runner(cfg)
        runner.logger.info(summary(runner, ('test', runner.test_dataloader)))
        metrics = runner.test()
    if out is not None and is_main_process():
        per_class = [row for metric in runner.test_evaluator.metrics for row in getattr(metric, 'per_class', [])]
        result = dict(config=str(cfg.filename), checkpoint=str(checkpoint), metrics=metrics, per_class=per_class)
        for metric in runner.test_evaluator.metrics:
            if getattr(metric, 'confusion', None) is not None:
                names = (metric.dataset_meta or {}).get('classes') or range(len(metric.confusion))
                result |= dict(classes=list(names), confusion=metric.confusion.tolist())
        # of a text: what it is, its length and its checksum
        if source := getattr(runner.test_dataloader.dataset, 'metainfo', {}).get('source'):
            result['data'] = source
        write_output(result, out, 'test')
    return metrics
