"""Which checkpoint of a run's folder to resume from or to evaluate, and what a checkpoint must hold for it."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.checkpoint import read_checkpoint

# {key of a run's checkpoint: its type}, and of the entries of its optimiser's state
_STATE = dict(meta=Mapping, message_hub=Mapping, optimizer=Mapping)
_HISTORY = dict(log_scalars=Mapping, runtime_info=Mapping, resumed_keys=Mapping)
_OPTIMIZER = dict(state=Mapping, param_groups=(list, tuple))


def find_resume_checkpoint(work_dir: str | os.PathLike) -> str | None:
    """The checkpoint from which a run in a folder continues.

    It is the file of this folder that `last_checkpoint` names, or, if that cannot be resumed from, the one of the
    latest iteration that can, with a warning. A path in `last_checkpoint` counts by its name: in a copy of a run's
    folder it is the copy's own file.

    Args:
        work_dir: folder of the run.

    Returns:
        A path, or None where the run has not saved any checkpoint.

    Raises:
        CheckpointError: there are checkpoints, but none to resume from.
    """
    folder = Path(work_dir)
    last = _noted(folder)
    others = sorted(
        (path for path in folder.glob('*.pth') if path != last and not path.name.startswith('best_')),
        key=lambda path: (_step_of(path), path.name),
        reverse=True,
    )
    faults = []
    for path in [last, *others] if last else others:
        try:
            require_resumable(read_checkpoint(path), path)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        if path != last:
            noted = f'names {last.name}, which cannot be used' if last else 'names no file of this folder'
            print_log(
                f'{folder / "last_checkpoint"} {noted}; resuming from {path} instead'
                + ''.join(f'\n    {fault}' for fault in faults),
                'current',
                level=logging.WARNING,
            )
        return str(path)
    if faults:
        raise CheckpointError(
            f'{folder} has no checkpoint to resume from:'
            + ''.join(f'\n    {fault}' for fault in faults)
            + '\nStart a new run in another folder, or restore a checkpoint'
        )
    return None


def _noted(folder: Path) -> Path | None:
    """The file of the folder that `last_checkpoint` names, or None where it names nothing."""
    try:
        text = (folder / 'last_checkpoint').read_text(errors='replace').strip().strip('\0')
        name = re.split(r'[/\\]', text)[-1]
        return folder / name if name and (folder / name).suffix == '.pth' else None
    except (OSError, ValueError):
        return None


def _step_of(path: Path) -> int:
    """The iteration or epoch in the name of a checkpoint, -1 without one."""
    found = re.search(r'(?:iter|epoch)_(\d+)\.pth$', path.name)
    return int(found[1]) if found else -1


def require_resumable(checkpoint: Any, path: str | os.PathLike) -> None:
    """Checks that a checkpoint holds the state of a run, each part of it of the right type.

    Args:
        checkpoint: contents of the file.
        path: where they came from, for the message.

    Raises:
        CheckpointError: a part is missing or has a wrong type; the message names it.
    """
    if not isinstance(checkpoint, Mapping) or not _STATE.keys() <= checkpoint.keys():
        raise CheckpointError(
            f'checkpoint {path} holds weights, but not the state of a run, so no run can be resumed from it; start a '
            f'new run from its weights: --cfg-options load_from={path}, without --resume'
        )
    _require_types(checkpoint, _STATE, '', path)
    _require_types(checkpoint['message_hub'], _HISTORY, 'message_hub.', path)
    optimizer = checkpoint['optimizer']
    # a run with several optimisers has a dictionary of them
    several = optimizer and not _OPTIMIZER.keys() & optimizer.keys()
    for state in optimizer.values() if several else [optimizer]:
        _require_types(state if isinstance(state, Mapping) else {}, _OPTIMIZER, 'optimizer.', path)
    schedulers = checkpoint.get('param_schedulers', [])
    if isinstance(schedulers, Mapping):
        schedulers = [x for each in schedulers.values() for x in (each if isinstance(each, (list, tuple)) else [each])]
    if not isinstance(schedulers, (list, tuple)) or not all(isinstance(x, Mapping) for x in schedulers):
        raise _wrong(path, 'param_schedulers', checkpoint['param_schedulers'])
    for key in ('iter', 'epoch'):
        value = checkpoint['meta'].get(key)
        if type(value) is not int or value < 0:
            raise _wrong(path, f'meta.{key}', value)


def _require_types(part: Mapping, types: Mapping, prefix: str, path: str | os.PathLike) -> None:
    for key, kind in types.items():
        if not isinstance(part.get(key), kind):
            raise _wrong(path, prefix + key, part.get(key))


def _wrong(path: str | os.PathLike, key: str, value: Any) -> CheckpointError:
    return CheckpointError(
        f'checkpoint {path} cannot be resumed from: {key} is {type(value).__name__} {repr(value)[:60]}, which no run '
        'saves. Use another checkpoint of the run'
    )


def find_checkpoint(work_dir: str | os.PathLike, which: str) -> str:
    """The best or the last checkpoint of a run's folder.

    Args:
        work_dir: folder of the run.
        which: 'best' or 'last'.

    Raises:
        CheckpointError: there is none, or the best ones are those of several scores.
    """
    found: Path | str | None
    if which == 'best':
        paths = sorted(Path(work_dir).glob('best_*.pth'), key=lambda path: (_step_of(path), path.name))
        of_scores = {re.sub(r'_(iter|epoch)_\d+$', '', path.stem): path for path in paths}
        if len(of_scores) > 1:
            names = ', '.join(str(path) for path in of_scores.values())
            raise CheckpointError(f'{work_dir} holds the best checkpoints of several scores; name one of them: {names}')
        found = paths[-1] if paths else None
    else:
        try:
            found = find_resume_checkpoint(work_dir)
        except CheckpointError:
            # weights without the state of a run are enough for an evaluation
            found = _noted(Path(work_dir))
            if found is None or not found.is_file():
                raise
    if found is None:
        raise CheckpointError(f'{work_dir} holds no {which} checkpoint; train first, or name a checkpoint file')
    return str(found)
