"""Checkpoints that are on disk whole or not at all, never fewer than before, and resumable exactly."""

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import all_reduce_params, broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import EMAHook, Hook, ParamSchedulerHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from a2sg_zoo.engine.logs import append_record, drop_records_after, read_records
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.hub.files import remove_leftovers, write_atomically
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.checks import integer

# how names of scores tell whether more is better, as in MMEngine
_MORE_IS_BETTER = ('acc', 'top', 'ar@', 'auc', 'precision', 'map', 'mdice', 'miou')
_LESS_IS_BETTER = ('loss',)


@register_backend('atomic', force=True)
class AtomicLocalBackend(LocalBackend):
    """MMEngine's backend for local files, with atomic writes: `backend_args=dict(backend='atomic')`."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Writes bytes to a file; see `write_atomically`."""
        write_atomically(obj, filepath)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Writes text to a file; see `write_atomically`."""
        write_atomically(obj.encode(encoding), filepath)


@HOOKS.register_module()
class AtomicCheckpointHook(Hook):
    """Saves checkpoints in the run's folder, in place of MMEngine's `CheckpointHook`.

    - A checkpoint, and the file `last_checkpoint`, appears whole or not at all.
    - An outdated checkpoint is removed only after its successor is on disk.
    - A checkpoint is saved only where a step of the optimiser ends: with accumulated gradients, one that is due
      between two steps is saved after the second, or at the end of the next epoch at which a step ends.
    - Before it is saved, and before an evaluation, the running statistics of batch norms are averaged over the
      processes: all processes then score the network that is in the file.
    - The best checkpoint holds its score, so the best of a run stays the best over any number of kills, and in a copy
      of the folder. It holds weights, without the state of the optimiser.
    - On resume, an evaluation that was due at the checkpoint's iteration and is not in `evaluations.jsonl` is run. One
      that is there counts again for schedules by scores, because the checkpoint was saved before it.

    Args:
        interval: iterations, or epochs, from one checkpoint to the next; -1 for none but the last.
        by_epoch: count epochs, not iterations.
        max_keep_ckpts: checkpoints that are kept, beside the best; -1 for all.
        save_last: save one at the end of the training, too.
        save_best: score, or list of scores, whose best checkpoint is kept: `best_SCORE_iter_N.pth`.
        rule: 'greater' or 'less', what is better; by default the name of a score tells.
        save_begin: the first iteration, or epoch, of a checkpoint.

    Raises:
        ConfigError: an argument has a wrong value.
    """

    priority = 'VERY_LOW'

    def __init__(
        self,
        interval: int = -1,
        by_epoch: bool = True,
        max_keep_ckpts: int = -1,
        save_last: bool = True,
        save_best: str | Sequence[str] | None = None,
        rule: str | None = None,
        save_begin: int = 0,
    ) -> None:
        for key, value in (('interval', interval), ('max_keep_ckpts', max_keep_ckpts)):
            if value != -1:
                integer(key, value, self)
        integer('save_begin', save_begin, self, 0)
        if rule not in (None, 'greater', 'less'):
            raise ConfigError(f"AtomicCheckpointHook: rule must be 'greater' or 'less', got {rule!r}")
        names = [save_best] if isinstance(save_best, str) else [] if save_best is None else save_best
        if not isinstance(names, (list, tuple)) or 'auto' in names or not all(isinstance(n, str) for n in names):
            raise ConfigError(
                f'AtomicCheckpointHook: save_best must be the name of a score, or a list, got {save_best!r}'
            )
        self.interval, self.by_epoch, self.max_keep_ckpts = interval, by_epoch, max_keep_ckpts
        self.save_last, self.save_begin, self.save_best, self.rule = save_last, save_begin, names, rule
        for name in names:
            self._sign(name)

    def before_train(self, runner: Runner) -> None:
        """Reads what is in the folder, and catches up on the evaluation at the checkpoint's iteration."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and not self.by_epoch:
            raise ConfigError(
                'default_hooks.checkpoint.by_epoch: a loop over epochs resumes at the beginning of an epoch, so its '
                'checkpoints must be saved at the end of one; set it to True'
            )
        self.folder, self._due = Path(runner.work_dir), False
        self._evaluations = self.folder / 'evaluations.jsonl'
        kept = runner.message_hub.runtime_info.get('keep_ckpt_ids')
        self._kept = [step for step in kept if type(step) is int] if isinstance(kept, list) else []
        # {score: (value, file)}
        self._best: dict[str, tuple[float, Path]] = {}
        if is_main_process():
            remove_leftovers(self.folder)
            drop_records_after(self._evaluations, runner.iter, 'metrics')
        if not runner.iter:
            return
        # all processes do what the first one sees
        found: list[Any] = [None, None]
        if is_main_process():
            found = [self._find_best(), self._recorded_scores(runner)]
        broadcast_object_list(found)
        self._best, scores = found
        if not self._evaluation_is_due(runner):
            return
        if scores is None:
            runner.logger.info(f'The evaluation after iteration {runner.iter} is not on record and is run now')
            runner.val_loop.run()
        elif self.by_epoch == isinstance(runner.train_loop, EpochBasedTrainLoop):
            for hook in runner.hooks:
                if isinstance(hook, ParamSchedulerHook):
                    hook.after_val_epoch(runner, scores)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Saves a checkpoint if one is due, or was due since the optimiser's last step."""
        if not self.by_epoch:
            last = self.save_last and self.is_last_train_iter(runner)
            due = last or self.every_n_train_iters(runner, self.interval, self.save_begin)
            self._save_if_due(runner, due, runner.iter + 1, dict(epoch=runner.epoch, iter=runner.iter + 1))

    def after_train_epoch(self, runner: Runner) -> None:
        """Saves a checkpoint if one is due, or was due at an epoch that ended between two steps of the optimiser."""
        if self.by_epoch:
            last = self.save_last and self.is_last_train_epoch(runner)
            due = last or self.every_n_epochs(runner, self.interval, self.save_begin)
            self._save_if_due(runner, due, runner.epoch + 1, dict(epoch=runner.epoch + 1, iter=runner.iter))

    def before_val_epoch(self, runner: Runner) -> None:
        """Gives all processes the same running statistics."""
        _average_statistics(runner)

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Saves the weights if they are the best so far, and then takes down the evaluation."""
        outdated = [self._save_if_best(runner, name, metrics or {}) for name in self.save_best]
        if is_main_process():
            append_record(self._evaluations, dict(iter=runner.iter, metrics=_plain_numbers(metrics or {})))
            for path in filter(None, outdated):
                path.unlink(missing_ok=True)

    def _save_if_due(self, runner: Runner, due: bool, step: int, meta: dict) -> None:
        self._due |= due
        if self._due and _ends_a_step(runner.optim_wrapper):
            self._due = False
            self._save(runner, step, meta)

    def _save(self, runner: Runner, step: int, meta: dict) -> None:
        runner.logger.info(
            f'Saving checkpoint at {step} {"epochs" if self.by_epoch else "iterations"}', extra=dict(file_only=True)
        )
        if is_main_process() and not self.folder.is_dir():
            runner.logger.warning(f'{self.folder} has vanished, and what was saved in it. The run saves there again')
        _average_statistics(runner)
        outdated = []
        if self.max_keep_ckpts > 0:
            self._kept = [kept for kept in self._kept if kept != step] + [step]
            outdated, self._kept = self._kept[: -self.max_keep_ckpts], self._kept[-self.max_keep_ckpts :]
            runner.message_hub.update_info('keep_ckpt_ids', list(self._kept))
        path = self._path(step)
        self._write(runner, path, meta, state=True)
        if is_main_process():
            # a name, not a path: it holds in a copy of the folder, too
            write_atomically(path.name.encode(), self.folder / 'last_checkpoint')
            for old in outdated:
                self._path(old).unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self.folder / f'{"epoch" if self.by_epoch else "iter"}_{step}.pth'

    def _write(self, runner: Runner, path: Path, meta: dict, state: bool) -> None:
        runner.save_checkpoint(
            str(path.parent),
            path.name,
            save_optimizer=state,
            save_param_scheduler=state and runner.param_schedulers is not None,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=dict(backend='atomic'),
        )

    def _save_if_best(self, runner: Runner, name: str, metrics: Mapping[str, float]) -> Path | None:
        """Returns the best checkpoint until now, if there is a better one."""
        if name not in metrics:
            raise ConfigError(
                f'default_hooks.checkpoint.save_best: the evaluation gives no score {name!r}; it gives '
                f'{", ".join(metrics) or "none"}'
            )
        score, (best, old) = metrics[name], self._best.get(name, (None, None))
        if best is not None and not self._sign(name) * score > self._sign(name) * best or score != score:
            return None
        step = runner.epoch if self.by_epoch else runner.iter
        path = self.folder / f'best_{_file_part(name)}_{self._path(step).name}'
        # the file itself tells its score
        runner.message_hub.update_info(_key(name), score)
        self._write(runner, path, dict(epoch=runner.epoch, iter=runner.iter), state=False)
        self._best[name] = (score, path)
        runner.logger.info(f'Best {name} so far: {score:.4f}, saved to {path.name}')
        return old if old != path else None

    def _find_best(self) -> dict[str, tuple[float, Path]]:
        """Finds the best checkpoints in the folder, and removes others that a kill has left there."""
        best = {}
        for name in self.save_best:
            found = []
            for path in self.folder.glob(f'best_{_file_part(name)}_*.pth'):
                try:
                    hub = read_checkpoint(path)['message_hub']['runtime_info']
                    # MMEngine, with a single score, names it in another way
                    found.append((float(hub.get(_key(name), hub.get('best_score'))), path))
                except (CheckpointError, KeyError, TypeError, ValueError, AttributeError):
                    continue  # a damaged one, or one of another program, stays as it is
            if found:
                best[name] = max(found, key=lambda pair: self._sign(name) * pair[0])
                for _, path in found:
                    if path != best[name][1]:
                        path.unlink(missing_ok=True)
        return best

    def _sign(self, name: str) -> int:
        """1 where more is better, -1 where less is."""
        if self.rule is not None:
            return 1 if self.rule == 'greater' else -1
        lower = name.lower()
        if any(part in lower for part in _MORE_IS_BETTER):
            return 1
        if any(part in lower for part in _LESS_IS_BETTER):
            return -1
        raise ConfigError(
            f"AtomicCheckpointHook: the name of save_best {name!r} does not tell what is better; set rule to 'greater' "
            "or 'less'"
        )

    def _evaluation_is_due(self, runner: Runner) -> bool:
        """Whether the loop evaluates after the iteration or epoch at which the run stands."""
        loop = runner.train_loop
        if runner.val_loop is None:
            return False
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        step, last = (runner.epoch, runner.max_epochs) if by_epoch else (runner.iter, runner.max_iters)
        interval = loop.dynamic_intervals[bisect(loop.dynamic_milestones, step + 1) - 1]
        return step >= loop.val_begin and (step % interval == 0 or step == last)

    def _recorded_scores(self, runner: Runner) -> dict[str, float] | None:
        """The scores of the evaluation at the iteration at which the run stands, None without one."""
        for record in read_records(self._evaluations, 'metrics'):
            if record['iter'] == runner.iter:
                return {name: nan if x is None else x for name, x in record['metrics'].items()}
        return None


def _average_statistics(runner: Runner) -> None:
    """Averages the running statistics of batch norms over the processes, of which each has those of its own batches."""
    averages = [hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)]
    modules = [m for network in (runner.model, *averages) for m in network.modules()]
    norms = [m for m in modules if m.training and getattr(m, 'running_mean', None) is not None]
    own = [m for m in norms if not isinstance(m, nn.SyncBatchNorm)]
    all_reduce_params([x for m in own for x in (m.running_mean, m.running_var)], op='mean')


def _plain_numbers(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores that are numbers, those that are not finite as None."""
    numbers = {name: float(x) for name, x in metrics.items() if isinstance(x, (int, float, np.number))}
    return {name: x if isfinite(x) else None for name, x in numbers.items()}


def _file_part(name: str) -> str:
    return re.sub(r'[^\w.-]', '_', name)


def _key(name: str) -> str:
    return f'best_score_{name}'


def _ends_a_step(wrapper: Any) -> bool:
    """Whether the last iteration ended with a step of the optimiser, and left no gradient behind."""
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return all(w.should_update() for w in wrappers)
