"""Logs that never cost a run: what cannot be written is said once, and the training goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

_said: set[str] = set()


@contextmanager
def tolerated(log: str | Path) -> Iterator[None]:
    """Within the block, a log that cannot be written is a warning, given once for each log, and not an error.

    Only for files that tell about a run: checkpoints and results must be written or fail.

    Args:
        log: the file or folder that the block writes, for the message.
    """
    try:
        yield
    except OSError as error:
        if str(log) not in _said:
            _said.add(str(log))
            print_log(
                f'{log} cannot be written ({error.strerror or error}). The run goes on without this log; checkpoints '
                'are not affected. Free space, or make the folder writable, and the log continues',
                'current',
                logging.WARNING,
            )
