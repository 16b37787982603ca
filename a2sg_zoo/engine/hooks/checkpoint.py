"""Checkpoints that are on disk whole or not at all, and never fewer than before."""

import os
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook

from a2sg_zoo.engine.resume import find_resume_checkpoint
from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import require_match
from a2sg_zoo.hub.files import remove_leftovers, write_atomically
from a2sg_zoo.registry import HOOKS
from a2sg_zoo.utils.models import unwrap_model


@register_backend('atomic', force=True)
class AtomicLocalBackend(LocalBackend):
    """MMEngine's backend for local files, with atomic writes: `backend_args=dict(backend='atomic')`."""

    def put(self, obj, filepath):
        write_atomically(obj, filepath)

    def put_text(self, obj, filepath, encoding='utf-8'):
        write_atomically(obj.encode(encoding), filepath)


class _PatientBackend(AtomicLocalBackend):
    """Within `patient()`, removes files only at its end, and not at all if it fails."""

    def __init__(self):
        self._waiting = None

    def remove(self, filepath):
        if self._waiting is None:
            super().remove(filepath)
        else:
            self._waiting.append(filepath)

    @contextmanager
    def patient(self):
        self._waiting = []
        try:
            yield
            outdated = self._waiting
        finally:
            self._waiting = None
        for path in outdated:
            self.remove(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's `CheckpointHook`, made safe against crashes and against the wrong file.

    - A checkpoint, and the file `last_checkpoint`, appears whole or not at all.
    - An outdated checkpoint is removed only after its successor is on disk.
    - A run that is to resume from its own folder takes the newest checkpoint there that can be read.
    - A checkpoint that does not fit the network is an error, not a line in the log.

    Args:
        **kwargs: those of `mmengine.hooks.CheckpointHook`, but for the choice of a backend.
    """

    def __init__(self, **kwargs):
        super().__init__(backend_args=dict(backend='atomic'), **kwargs)
        if self.args:  # MMEngine keeps what it does not know for `Runner.save_checkpoint`, which fails only there
            raise ConfigError(f'AtomicCheckpointHook takes no such key: {", ".join(self.args)}')

    def before_run(self, runner):
        if runner._resume and runner._load_from is None:
            runner._load_from = find_resume_checkpoint(runner.work_dir)

    def after_load_checkpoint(self, runner, checkpoint):
        path = getattr(checkpoint, 'path', 'given')
        if runner._resume and not {'meta', 'message_hub', 'optimizer'} <= checkpoint.keys():
            raise CheckpointError(
                f'checkpoint {path} holds weights, but not the state of a run, so no run can be '
                'resumed from it; start a new one from its weights (load_from, without resume)'
            )
        model = unwrap_model(runner.model)
        # as MMEngine does, for weights saved from within a parallel wrapper
        weights = {
            key.removeprefix('module.'): value for key, value in checkpoint.get('state_dict', checkpoint).items()
        }
        require_match(model, weights, path, checkpoint.get('meta'))

    def before_train(self, runner):
        super().before_train(runner)
        self.file_backend = _PatientBackend()
        if is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                remove_leftovers(folder)

    def _save_checkpoint_with_step(self, runner, step, meta):
        # MMEngine's own removes before it saves, and may be killed half way through `last_checkpoint`
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = os.path.join(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
        )
        if is_main_process():
            write_atomically(str(self.last_ckpt).encode(), os.path.join(runner.work_dir, 'last_checkpoint'))
            if outdated is not None:
                Path(self.out_dir, self.filename_tmpl.format(outdated)).unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner, metrics):
        with self.file_backend.patient():
            super()._save_best_checkpoint(runner, metrics)
