"""The hook that says how far a run is, and how long it takes."""

from collections import deque
from statistics import fmean
from threading import Timer
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from a2sg_zoo.registry import HOOKS

# steps whose mean time counts for the estimate, and seconds after which a first step is slow
_STEPS, _PATIENCE = 100, 3.0


@HOOKS.register_module()
class ProgressHook(Hook):
    """Estimates the time that is left from the last 100 steps, without the first, in which kernels are compiled.

    A first step that takes longer than three seconds is announced once, in one line. A run that is complete before it
    begins says so.
    """

    # after the timer, before the logger
    priority = 55

    def before_train(self, runner: Runner) -> None:
        """Begins to watch the first step."""
        self._seconds: deque[float] = deque(maxlen=_STEPS)
        self._first = True
        self._timer: Timer | None = None
        if runner.iter >= runner.max_iters:
            runner.logger.info(
                f'The run is complete: {runner.iter} of {runner.max_iters} iterations. A resumed run keeps the last '
                'learning rate of a schedule that has ended. To train longer, start a new run from the weights, in '
                'another folder and without --resume: --cfg-options load_from=PATH'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Announces a first step that is slow."""
        if self._first and runner.rank == 0:
            self._timer = Timer(_PATIENCE, self._announce, [runner.logger])
            self._timer.daemon = True
            self._timer.start()

    def _announce(self, logger: Any) -> None:
        logger.info('The first step compiles kernels for this network, which can take a minute; later steps do not')

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Estimates the time that is left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        hub = runner.message_hub
        if 'train/time' not in hub.log_scalars:
            return
        seconds = hub.get_scalar('train/time').current()
        if not self._first:
            self._seconds.append(seconds)
        self._first = False
        mean = fmean(self._seconds) if self._seconds else seconds
        hub.update_info('eta', mean * (runner.max_iters - runner.iter - 1))
