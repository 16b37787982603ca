"""What a machine refuses in the middle of a run, in words."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from a2sg_zoo.errors import A2SGError, MachineError

# {what a file system refuses: what helps}
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), 'Make space'),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), 'Change its permissions, or use another folder'),
}
# what torch's allocators say, as RuntimeErrors
_NO_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory|Cannot allocate memory", re.I)
_WORKER = re.compile(r'DataLoader worker \(pid\(?s?\)? ?[^)]*\).*', re.S)
_SAFE = 'Checkpoints that were saved are untouched; continue with --resume'


@contextmanager
def machine_faults_named(work_dir: str | os.PathLike) -> Iterator[None]:
    """Within the block, what the machine refuses is a MachineError that says what was refused and what helps.

    A worker of a data loader that was killed, memory that is refused, a full disk, and a file or folder that may not be
    read or written are meant; other errors pass as they are.

    Args:
        work_dir: folder of the run.

    Raises:
        MachineError: see above.
    """
    try:
        yield
    except A2SGError:
        raise
    except MemoryError as error:
        raise MachineError(_no_memory(error)) from error
    except RuntimeError as error:
        text = str(error)
        if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY.search(text):
            raise MachineError(_no_memory(error)) from error
        if found := _WORKER.search(text):
            raise MachineError(
                f'a worker of the data loader ended: {" ".join(found[0].split())[:200]} Often the system ends it '
                'because memory or /dev/shm is full; lower train_dataloader.num_workers or batch_size. '
                f'{_SAFE}'
            ) from error
        raise
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MachineError(_no_memory(error)) from error
        if advice := _ADVICE.get(error.errno):
            where = error.filename or work_dir
            raise MachineError(f'{where} cannot be used: {error.strerror}. {advice}. {_SAFE}') from error
        raise


def _no_memory(error: BaseException) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return (
        f'the machine has no memory left: {first}. Lower train_dataloader.batch_size or num_workers, or set '
        f'model.backbone.recompute=True (activation checkpointing). {_SAFE}'
    )
