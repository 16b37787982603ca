"""Measurement of times and memory, such that a noisy machine changes ratios little."""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import torch
from tqdm import tqdm

from a2sg_zoo.errors import A2SGError

_Name = TypeVar('_Name')
_MakeAction = Callable[[torch.device], tuple[Callable[[], object], Callable[[], object]]]


def interleaved(
    actions: Mapping[_Name, Callable[[], object]],
    device: torch.device,
    rounds: int = 7,
    warmup: int = 2,
    label: str = '',
) -> dict[_Name, list[float]]:
    """Run actions in turns, A B C A B C ..., so that whatever slows the machine slows all of them.

    Args:
        actions: {name: function without arguments}.
        device: device of the tensors. The clock is read when a CUDA device has finished its work.
        rounds: number of measurements of each action.
        warmup: number of runs of each action before them, in which things are compiled or allocated once.
        label: label of the progress bar.

    Returns:
        {name: seconds of each round}.
    """
    seconds = {name: [] for name in actions}
    names = list(actions)
    for i in tqdm(range(-warmup, rounds), desc=label, leave=False, disable=not sys.stderr.isatty()):
        for name in names[i % len(names) :] + names[: i % len(names)]:  # no action always follows the same one
            wait(device)
            start = time.perf_counter()
            actions[name]()
            wait(device)
            if i >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: Mapping[_Name, Sequence[float]]) -> dict[_Name, float]:
    """Return {name: median} of what `interleaved` returns.

    >>> medians({'A': [1.0, 5.0, 2.0]})
    {'A': 2.0}
    """
    return {name: statistics.median(values) for name, values in seconds.items()}


def wait(device: torch.device) -> None:
    """Wait until a CUDA device has finished its work."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def peak_memory(make_action: _MakeAction, device: torch.device, threads: int) -> int:
    """Return the bytes that an action needs at its peak, beyond those that were held before.

    On a CPU this is the growth of the memory that a process of its own holds.

    Args:
        make_action: function at the top level of a module: device -> (a smaller action that warms up, the action).
        device: device to run on.
        threads: CPU threads of the process.

    Raises:
        A2SGError: the process died, or this is not Linux.
    """
    if device.type == 'cuda':
        small, action = make_action(device)
        small()
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        return torch.cuda.max_memory_allocated(device) - before
    context = multiprocessing.get_context('spawn')
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure_memory, args=(make_action, device, threads, theirs))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        process.join()
        raise A2SGError(
            f'{make_action.__name__}: the process that measures memory ended with {process.exitcode}; its '
            'output is above'
        ) from None
    finally:
        process.join()


def _measure_memory(make_action: _MakeAction, device: torch.device, threads: int, connection: Connection) -> None:
    torch.set_num_threads(threads)
    small, action = make_action(device)
    small()
    with suppress(OSError):  # the peak from now on, without that of compilers
        Path('/proc/self/clear_refs').write_text('5')
    before = _held('VmRSS')
    action()
    connection.send(_held('VmHWM') - before)


def _held(field: str) -> int:
    try:
        # not getrusage: a new process inherits its peak from the one that started it
        lines = Path('/proc/self/status').read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f'{field}:'))
    except OSError as error:
        raise A2SGError(
            f'the memory of a process is read from /proc, which this system does not have ({error}); measure on Linux'
        ) from error
