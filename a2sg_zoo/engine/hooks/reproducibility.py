"""Runs that can be repeated, and continued as if they had not been interrupted.

Every random number of a training step is a pure function of the run's seed and of the step. The samplers see to the
order of the data and their augmentation, and `StepSeedHook` to dropout and the like. So no state of a generator needs
to be saved, and neither the number of workers nor the place of an interruption matters.
"""

import json
import platform
import random
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

import a2sg_zoo
from a2sg_zoo.compat import randomness
from a2sg_zoo.engine.samplers import ResumableEpochSampler, ResumableSampler, mixed_seed
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.registry import HOOKS

_PACKAGES = ('torchvision', 'numpy', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation')


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seeds torch, NumPy and `random` before every training step from (seed, rank, iteration).

    Raises:
        ConfigError: the config sets `randomness.diff_rank_seed`, which would give each process another order of data.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Gives the sampler the seed of the run, unless the config gives it another one."""
        if randomness(runner).get('diff_rank_seed'):
            raise ConfigError(
                'randomness.diff_rank_seed: StepSeedHook already gives each process its own random '
                'numbers, and the sampler needs a seed in common; remove this key'
            )
        sampler = runner.train_dataloader.sampler
        given = ((runner.cfg.get('train_dataloader') or {}).get('sampler') or {}).get('seed')
        if given is None and isinstance(sampler, (ResumableSampler, ResumableEpochSampler)):
            # a run without a seed in its config draws one, which a resumed run reads from the checkpoint only now
            sampler.seed = runner.seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seeds all generators."""
        seed = mixed_seed(runner.seed, runner.rank, runner.iter)
        torch.manual_seed(seed)  # every device's generator
        np.random.seed(seed % 2**32)
        random.seed(seed)


@HOOKS.register_module()
class RunInfoHook(Hook):
    """Writes what it takes to repeat the run into the log and into `run.json` in the run's folder."""

    def before_train(self, runner: Runner) -> None:
        """Writes it."""
        if is_main_process():
            text = json.dumps(run_info(runner), indent=2)
            runner.logger.info(f'This run:\n{text}', extra=dict(file_only=True))
            path = Path(runner.work_dir) / 'run.json'
            try:
                write_atomically(f'{text}\n'.encode(), path)
            except CheckpointError as error:  # the log has it, too
                runner.logger.warning(str(error))


def run_info(runner: Runner) -> dict[str, Any]:
    """Versions, commit, command line, seed and device of a run, as plain data.

    Args:
        runner: of the run.
    """
    device = next(runner.model.parameters()).device
    return dict(
        command=[sys.executable, *map(web.without_secrets, sys.argv)],
        seed=runner.seed,
        start_iter=runner.iter,
        device=torch.cuda.get_device_name(device) if device.type == 'cuda' else f'{device} ({platform.machine()})',
        world_size=runner.world_size,
        a2sg_zoo=a2sg_zoo.__version__,
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        **{name: metadata.version(name) for name in _PACKAGES},
        cuda=torch.version.cuda,
    )


def _commit() -> str | None:
    """The commit of this package's checkout, with '+changes' where files differ from it; None outside a checkout."""

    def git(*args: str) -> str:
        return subprocess.run(
            ['git', '-C', Path(__file__).parent, *args], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # a copy of the package inside another project's checkout has no commit
        if not git('ls-files', Path(__file__).name):
            return None
        return git('rev-parse', 'HEAD') + ('+changes' if git('status', '--porcelain', '--untracked-files=no') else '')
    except (OSError, subprocess.SubprocessError):
        return None
