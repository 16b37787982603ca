"""Times and memory, measured so that a noisy machine changes ratios little."""

import multiprocessing
import statistics
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from a2sg_zoo.errors import A2SGError


def interleaved(actions, device, rounds=7, warmup=2, label=''):
    """Run actions in turn, A B C A B C ..., so that whatever slows the machine slows all of them.

    Args:
        actions: {name: function without arguments}.
        device: of the tensors; a CUDA device is waited for before the clock is read.
        rounds: times that each action is measured.
        warmup: times that each runs before: what is compiled or allocated once does not count.
        label: of the progress bar.

    Returns:
        {name: seconds of each round}.
    """
    seconds = {name: [] for name in actions}
    names = list(actions)
    for i in tqdm(range(-warmup, rounds), desc=label, leave=False, disable=not sys.stderr.isatty()):
        for name in names[i % len(names) :] + names[: i % len(names)]:  # none is always after the same other
            wait(device)
            start = time.perf_counter()
            actions[name]()
            wait(device)
            if i >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds):
    """{name: median} of what `interleaved` returns."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def wait(device):
    """Until a CUDA device has done what it was asked for."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def peak_memory(make_action, device, threads):
    """Bytes that an action needs beyond what was there before, at its peak.

    On a CPU it is measured in a process of its own, as the growth of the memory that the process holds.

    Args:
        make_action: function at the top level of a module: device -> (a smaller action that warms up, the action).
        device: to run on.
        threads: of the process.
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


def _measure_memory(make_action, device, threads, connection):
    torch.set_num_threads(threads)
    small, action = make_action(device)
    small()
    before = _held('VmRSS')
    action()
    connection.send(_held('VmHWM') - before)


def _held(field):
    try:
        # not getrusage, whose peak a new process takes over from the one that started it
        lines = Path('/proc/self/status').read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f'{field}:'))
    except OSError as error:
        raise A2SGError(
            f'the memory of a process is read from /proc, which is not here ({error}); measure on Linux'
        ) from error
