"""MMEngine's runner with a quiet terminal, logs that never end a run, and errors that name the file."""

import logging
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from a2sg_zoo.datasets.classes import classes_of
from a2sg_zoo.engine.loaders import LOADERS, ClassNames, check_classes, checked_loader
from a2sg_zoo.engine.logs import drop_cut_lines, tolerated
from a2sg_zoo.engine.values import refused_by_network
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError
from a2sg_zoo.hub import loaders as _  # noqa: F401  makes MMEngine read weights as data only
from a2sg_zoo.neurons import set_time_steps
from a2sg_zoo.utils.models import unwrap_model

# beginnings of records that tell a person nothing to act on; the log file has them
_FOR_THE_FILE = (
    'Advance dataloader',
    'Auto resumed from',
    'Exp name:',
    # MMEngine's two lines about a checkpoint; ResumeHook has one
    'Load checkpoint from',
    'Loads checkpoint by',
    'The dataset metainfo from the resumed checkpoint',
    'The prefix is not set in metric class',
    'The value of random seed in the checkpoint',  # ResumeHook says it with its key
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)
for _message in (
    r'Setting (OMP|MKL)_NUM_THREADS',
    r'`broadcast_buffers` is deprecated',
    r'Detected call of `scheduler.step\(\)`',  # said wherever gradients are accumulated
):
    warnings.filterwarnings('ignore', message=_message)
# what a checkpoint with state of a wrong kind makes MMEngine and torch raise
_UNFIT = (AttributeError, AssertionError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
_THEIR_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
# hooks of every run, unless its config sets them to something else
DEFAULT_HOOKS = dict(
    checkpoint=dict(type='AtomicCheckpointHook', by_epoch=False),
    resume=dict(type='ResumeHook'),
    progress=dict(type='ProgressHook'),
)
HOOK_NAMES = {*_THEIR_HOOKS, *DEFAULT_HOOKS}


class ZooRunner(Runner):
    """MMEngine's `Runner`, with these differences:

    - The terminal shows what a person reads during a training. The environment, the config and the table of hooks go
      to the log file alone, and so does a record with `extra=dict(file_only=True)`.
    - A log that cannot be written is a warning; see `tolerated`.
    - A checkpoint with state of the wrong kind is a CheckpointError that names the file.
    - `DEFAULT_HOOKS` are among the default hooks.
    - The neurons of a network know its number of time steps before the optimizer is built; see `set_time_steps`.
    - Data loaders check their items, and the classes of data sets, weights and network are compared.

    Args:
        **kwargs: those of `mmengine.runner.Runner`.

    Attributes:
        training: whether the run trains, known from the call of `train` on.
        resuming: whether the run continues from a checkpoint's state, known from `before_train` on.
        class_names: the classes of the run, by name.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.training, self.resuming, self._starting = False, False, True
        self.class_names = ClassNames()
        super().__init__(**kwargs)
        self._starting = False

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """Builds the network, with the parameters that its neurons have for each time step.

        Args:
            model: its config, or the network.

        Raises:
            ConfigError: the network cannot be built; the message names the key, where that is known. See also
                `set_time_steps`.
        """
        try:
            network = super().build_model(model)
        except (A2SGError, OSError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # of any constructor
            refused = next(refused_by_network(model), None) or f'{type(error).__name__}: {error}'
            raise ConfigError(f'{self.cfg.filename}: the network cannot be built: {refused}') from error
        set_time_steps(network)
        return network

    def build_logger(self, *args: Any, **kwargs: Any) -> logging.Logger:
        """MMEngine's logger with the terminal filtered, and a file that may fail."""
        logger = super().build_logger(*args, **kwargs)
        # several lines for each parameter of the network
        logger.addFilter(lambda record: not str(record.msg).startswith('paramwise_options'))
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = _tolerate(handler)
            else:
                handler.addFilter(self._is_for_people)
        return logger

    def _is_for_people(self, record: logging.LogRecord) -> bool:
        if getattr(record, 'file_only', False) or str(record.msg).startswith(_FOR_THE_FILE):
            return False
        return not self._starting or record.levelno >= logging.WARNING

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Registers MMEngine's default hooks and `DEFAULT_HOOKS`; None in place of any hook leaves it out.

        Args:
            hooks: {name: hook or its config}.
        """
        hooks = {**DEFAULT_HOOKS, **(hooks or {})}
        # MMEngine knows how to leave out only its own
        super().register_default_hooks({k: x for k, x in hooks.items() if x is not None or k in _THEIR_HOOKS})

    def build_dataloader(
        self, dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """MMEngine's data loader with items that are checked.

        Args:
            dataloader: its settings, or a finished one.
            seed: of its sampler.
            diff_rank_seed: whether each process draws a seed of its own.

        Raises:
            DataError: the data set cannot be built or is empty.
            ConfigError: its classes are not those of the network, of the weights or of another data set of the run.
        """
        if isinstance(dataloader, DataLoader):
            return dataloader
        model = unwrap_model(self.model)
        name = next((key for key in LOADERS if getattr(self, f'_{key}', None) is dataloader), 'dataloader')
        loader = Runner.build_dataloader(checked_loader(dataloader, name, model), seed, diff_rank_seed)
        check_classes(model, loader.dataset, f'{name}.dataset')
        self.class_names.add(classes_of(loader.dataset), f'{name}.dataset')
        return loader

    def train(self) -> nn.Module:
        """Trains, from the beginning or from a checkpoint; MMEngine's."""
        self.training = True
        return super().train()

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Calls a method of all hooks that have it. A hook that only writes logs may fail to write.

        Args:
            fn_name: name of the method, such as 'before_train'.
            **kwargs: for the method.
        """
        for hook in self.hooks:
            method = getattr(hook, fn_name, None)
            if method is None:
                continue
            if not isinstance(hook, LoggerHook):
                method(self, **kwargs)
                continue
            with tolerated(self.log_dir):
                try:
                    method(self, **kwargs)
                except OSError:
                    drop_cut_lines(Path(self.log_dir, 'vis_data'))
                    raise

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Loads the weights of a checkpoint; MMEngine's, without a line that it prints beside the log.

        Args:
            filename: checkpoint.
            *args, **kwargs: those of `mmengine.runner.Runner.load_checkpoint`.

        Returns:
            Its contents.
        """
        with redirect_stdout(None):
            return super().load_checkpoint(filename, *args, **kwargs)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Continues from a checkpoint's state: weights, optimiser, schedule, iteration and history.

        Args:
            filename: checkpoint.
            *args, **kwargs: those of `mmengine.runner.Runner.resume`.

        Raises:
            CheckpointError: the file is no checkpoint of this run.
        """
        self.resuming = True
        try:
            super().resume(filename, *args, **kwargs)
        except (A2SGError, torch.OutOfMemoryError):
            raise
        except _UNFIT as error:
            raise CheckpointError(
                f'checkpoint {filename}: its state does not fit this run ({type(error).__name__}: '
                f'{str(error)[:300]}). Resume with the config that it was saved with, or start a new run from its '
                f'weights: --cfg-options load_from={filename}'
            ) from error


def _tolerate(handler: logging.FileHandler):
    """In place of a handler's `handleError`, which would print a traceback for every line that finds no space."""

    def handle(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            logging.FileHandler.handleError(handler, record)
            return
        with tolerated(handler.baseFilename):
            raise error

    return handle
