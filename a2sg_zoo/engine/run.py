"""From a config file to a run: what `tools/train.py` and `tools/test.py` call."""

import json
import logging
from pathlib import Path

import torch
from mmengine.logging import print_log

from a2sg_zoo.engine.build import build_runner, check_classes, summary, unwrapped
from a2sg_zoo.engine.config import load_config, validate_config
from a2sg_zoo.engine.resume import find_checkpoint, find_resume_checkpoint
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.pretrained import locate


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
    check_classes(unwrapped(runner), loader.dataset, 'the training data')
    runner.logger.info(summary(runner, ('training', loader)))
    runner.train()
    return runner


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
    check_classes(unwrapped(runner), runner.test_dataloader.dataset, 'the test data')
    runner.logger.info(summary(runner, ('test', runner.test_dataloader)))
    metrics = runner.test()
    if out is not None:
        per_class = [row for metric in runner.test_evaluator.metrics for row in getattr(metric, 'per_class', [])]
        result = dict(config=str(cfg.filename), checkpoint=str(checkpoint), metrics=metrics, per_class=per_class)
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(result, indent=2) + '\n')
    return metrics
