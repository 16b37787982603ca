"""Which checkpoint of a run's folder to go on from, or to evaluate."""

import logging
from pathlib import Path

from mmengine.logging import print_log

from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.checkpoint import read_checkpoint


def find_resume_checkpoint(work_dir):
    """The checkpoint to resume a run from: that which `last_checkpoint` names, or, where it cannot be read, the
    newest that can, with a warning. None where the run has not saved any.

    Raises:
        CheckpointError: there are checkpoints, but none that can be read.
    """
    work_dir = Path(work_dir)
    note = work_dir / 'last_checkpoint'
    last = Path(note.read_text(errors='replace').strip().strip('\0') or work_dir) if note.is_file() else None
    folders = {work_dir, last.parent} if last else {work_dir}
    others = sorted(
        (path for folder in folders for path in folder.glob('*.pth') if path != last),
        key=lambda path: (path.stat().st_mtime_ns, path.name),
        reverse=True,
    )
    faults = []
    for path in [last, *others] if last else others:
        try:
            contents = read_checkpoint(path)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        if isinstance(contents, dict) and 'optimizer' in contents:  # the best ones are for inference
            if path != last:
                print_log(
                    f'{note} names {last}, which cannot be used; resuming from {path} instead'
                    + ''.join(f'\n    {fault}' for fault in faults),
                    'current',
                    level=logging.WARNING,
                )
            return str(path)
    if faults:
        raise CheckpointError(
            f'{work_dir} has no checkpoint to resume from:'
            + ''.join(f'\n    {f}' for f in faults)
            + '\nStart anew in another folder, or restore a checkpoint'
        )
    return None


def find_checkpoint(work_dir, which):
    """The 'best' or 'last' checkpoint of a run's folder."""
    found = sorted(Path(work_dir).glob('best_*.pth')) if which == 'best' else [find_resume_checkpoint(work_dir)]
    if not found or found[-1] is None:
        raise CheckpointError(f'{work_dir} holds no {which} checkpoint; train first, or name a checkpoint file')
    return max(found, key=lambda path: Path(path).stat().st_mtime)
