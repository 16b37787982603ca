"""The loss around a minimum, along one or two random directions that are normalised filter by filter.

    L(w + x d1 + y d2),    d[i] = |w[i]| r[i] / |r[i]|,  r normal,  for every filter i of every layer

A filter is the weights of one output channel. With batch norms, a network's function does not change when the weights
of a layer are scaled; the normalisation makes the pictures of such networks comparable. Parameters with one dimension
or none (biases, batch norms, time constants) do not move. Batch norms use their running statistics.

Source: Li et al., NeurIPS 2018.
"""

import json
import math
import multiprocessing
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from a2sg_zoo.analysis.measures.hessian import moved
from a2sg_zoo.analysis.measures.objective import Objective, flat
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.hub.files import write_atomically

_NAMES = dict(of='network, weights, loss or samples', batch_sizes='batch size')  # of the entries of a file's header


@dataclass(frozen=True)
class Landscape:
    """Loss and accuracy on a grid of points.

    Attributes:
        x: coordinates along the first direction.
        y: coordinates along the second direction; (0.0,) for one direction.
        loss: {(i, j): loss at (x[i], y[j])}; None where it is NaN or infinite.
        accuracy: {(i, j): share of right answers}; None for a network that is not a classifier.
        computed: number of points that were computed; the others were read from the file.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    loss: dict[tuple[int, int], float | None]
    accuracy: dict[tuple[int, int], float | None]
    computed: int

    def grid(self, what: str = 'loss') -> torch.Tensor:
        """Return 'loss' or 'accuracy' as a tensor (len(y), len(x)), with NaN where there is no value."""
        values = getattr(self, what)
        return torch.tensor(
            [
                [math.nan if values[i, j] is None else values[i, j] for i in range(len(self.x))]
                for j in range(len(self.y))
            ],
            dtype=torch.float64,
        )


def filter_normalized_direction(objective: Objective, seed: int) -> torch.Tensor:
    """Draw a random direction d, normalised filter by filter as at the head of this module: a vector (P,)."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[torch.Tensor] = []
    for p in objective.parameters:
        if p.dim() <= 1:
            parts.append(torch.zeros_like(p))
            continue
        r = torch.randn(p.shape, generator=generator).to(p).flatten(1)
        w = p.detach().flatten(1)
        parts.append(r * (w.norm(dim=1, keepdim=True) / r.norm(dim=1, keepdim=True)))
    return flat(parts)


def loss_landscape(
    objective: Objective,
    path: str | Path,
    x: Sequence[float],
    y: Sequence[float] = (0.0,),
    seed: int = 0,
    processes: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> Landscape:
    """Compute loss and accuracy at every point of a grid. After an interruption, the same call computes the rest.

    Each point is one line of the file `path`, with a checksum, written as soon as it is computed. The first line says
    the grid, the seed, and a fingerprint of network, weights, loss and samples. Damaged lines are computed again.

    Args:
        objective: network and samples.
        path: file of the points.
        x: coordinates along the first direction.
        y: coordinates along the second direction; (0.0,) for one direction.
        seed: seed of the first direction; the second has seed + 1.
        processes: number of processes that compute points at the same time. Each has its own weights, and all share
            the samples.
        progress: called as `progress(computed points, all points)` after each point.

    Raises:
        A2SGError: the file has points of another landscape, another command is using it, or a process died.
    """
    path, x, y = Path(path), tuple(float(value) for value in x), tuple(float(value) for value in y)
    header = dict(
        kind='landscape',
        version=2,
        seed=seed,
        x=x,
        y=y,
        of=objective.fingerprint(),
        batch_sizes=objective.batch_sizes(),
    )
    with _locked(path):
        known = _read_points(path, header)
        points = [(i, j) for j in range(len(y)) for i in range(len(x))]
        todo = [(i, j, x[i], y[j]) for i, j in points if (i, j) not in known]
        with open(path, 'a') as file:
            for i, j, loss, accuracy in _evaluate(objective, todo, seed, processes):
                known[i, j] = loss, accuracy
                file.write(_line([i, j, loss, accuracy]))
                file.flush()
                os.fsync(file.fileno())
                if progress:
                    progress(len(known), len(points))
    return Landscape(x, y, {k: known[k][0] for k in points}, {k: known[k][1] for k in points}, len(todo))


@contextmanager
def _locked(path):
    lock = FileLock(path.with_suffix('.lock'))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise A2SGError(f'{path}: another command is using it; wait until it ends, or use another folder') from error
    try:
        yield
    finally:
        lock.release()


def _line(content):
    text = json.dumps(content, separators=(',', ':'))
    return f'{text}\t{zlib.crc32(text.encode()):08x}\n'


def _read_line(line):
    """The content of a line, or None if it is damaged."""
    text, _, checksum = line.rstrip('\n').partition('\t')
    return json.loads(text) if line.endswith('\n') and f'{zlib.crc32(text.encode()):08x}' == checksum else None


def _read_points(path, header):
    """{(i, j): (loss, accuracy)} of the points in a file; a missing file is created, damaged lines are removed."""
    if path.is_file():
        lines = path.read_text(errors='replace').splitlines(keepends=True)
    else:
        lines = []
    if not lines:
        write_atomically(_line(header).encode(), path)
        return {}
    found = _read_line(lines[0])
    # through JSON, because it turns tuples into lists
    header = json.loads(json.dumps(header))
    if found != header:
        differs = (
            'its first line is damaged'
            if not isinstance(found, dict)
            else 'it differs in ' + ', '.join(_NAMES.get(key, key) for key in header if found.get(key) != header[key])
        )
        raise A2SGError(f'{path} has points of another landscape ({differs}); use another folder, or remove the file')
    sound = [(line, content) for line in lines[1:] if (content := _read_line(line)) is not None]
    if len(sound) < len(lines) - 1:
        write_atomically((lines[0] + ''.join(line for line, _ in sound)).encode(), path)
    return {(i, j): (loss, accuracy) for _, (i, j, loss, accuracy) in sound}


class _Evaluator:
    """Computes a point (i, j, x, y): (i, j, loss or None, accuracy)."""

    def __init__(self, objective, seed):
        self.objective = objective
        self.directions = [filter_normalized_direction(objective, seed + k) for k in range(2)]

    def __call__(self, point):
        i, j, x, y = point
        with moved(self.objective, x * self.directions[0] + y * self.directions[1]):
            loss, accuracy = self.objective.loss_and_accuracy()
        return i, j, loss if math.isfinite(loss) else None, accuracy


_evaluator = None


def _start(objective, seed, threads):
    global _evaluator
    torch.set_num_threads(threads)
    # processes get tensors in shared memory, and the weights will be moved, so each process copies them
    for p in objective.parameters:
        p.data = p.data.clone()
    _evaluator = _Evaluator(objective, seed)


def _work(point):
    return _evaluator(point)


def _evaluate(objective, points, seed, processes):
    if processes <= 1 or len(points) <= 1:
        yield from map(_Evaluator(objective, seed), points)
        return
    threads = max(1, torch.get_num_threads() // processes)
    # a fork after work with threads can hang, so processes are spawned
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context('spawn'), _start, (objective, seed, threads))
    try:
        yield from pool.map(_work, points)
    except BrokenProcessPool as error:
        raise A2SGError(
            'a process that computed points of the landscape died, perhaps because memory ran out. The points so far '
            'are saved; run the same command again with fewer processes'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
