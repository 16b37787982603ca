"""The loss around a minimum, along one or two random directions that are normalised filter by filter.

    L(w + x d1 + y d2),    d[i] = |w[i]| r[i] / |r[i]|,  r normal,  for every filter i of every layer

so that the picture does not depend on how a network that is scale-free distributes its scale over layers. A filter is
what belongs to one output channel. Parameters of one dimension or none (biases, batch norms, time constants) stand
still. Batch norms use their running statistics.

Source: Li et al., NeurIPS 2018.
"""

import json
import math
import multiprocessing
import os
import zlib
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from a2sg_zoo.analysis.measures.hessian import moved
from a2sg_zoo.analysis.measures.objective import flat
from a2sg_zoo.errors import A2SGError
from a2sg_zoo.hub.files import write_atomically

_NAMES = dict(of='network, weights, loss or samples', batch_sizes='batch size')


@dataclass(frozen=True)
class Landscape:
    """Attributes:
    x, y: coordinates of the grid; y is (0.0,) for one direction.
    loss: {(i, j): loss at (x[i], y[j])}; None where it is NaN or infinite.
    accuracy: {(i, j): share of right answers}; None for a network that is no classifier.
    computed: how many points this call computed; the others were in the file.
    """

    x: tuple
    y: tuple
    loss: dict
    accuracy: dict
    computed: int

    def grid(self, what='loss'):
        """`loss` or `accuracy` as a tensor (len(y), len(x)), NaN where there is none."""
        values = getattr(self, what)
        return torch.tensor(
            [
                [math.nan if values[i, j] is None else values[i, j] for i in range(len(self.x))]
                for j in range(len(self.y))
            ],
            dtype=torch.float64,
        )


def filter_normalized_direction(objective, seed):
    """A random direction as above: a vector."""
    generator, parts = torch.Generator().manual_seed(seed), []
    for p in objective.parameters:
        if p.dim() <= 1:
            parts.append(torch.zeros_like(p))
            continue
        r = torch.randn(p.shape, generator=generator).to(p).flatten(1)
        w = p.detach().flatten(1)
        parts.append(r * (w.norm(dim=1, keepdim=True) / r.norm(dim=1, keepdim=True)))
    return flat(parts)


def landscape(objective, path, x, y=(0.0,), seed=0, processes=1, progress=None):
    """Loss and accuracy at every point of a grid; a run that was interrupted goes on where it stopped.

    Each point is one line of `path`, with its checksum, appended as soon as it is known. The first line says which
    grid, seed, network, weights, loss and samples they belong to. Damaged lines are computed again.

    Args:
        objective: an `Objective`.
        path: file of the points.
        x, y: coordinates along the two directions; y = (0.0,) for a single one.
        seed: of the directions: `seed` and `seed + 1`.
        processes: how many work on the grid at once; each holds weights of its own, and all share the samples.
        progress: called as `progress(points known, points in all)` after each.

    Returns:
        Landscape.

    Raises:
        A2SGError: `path` belongs to another landscape, or another command is at work on it; or a process died.
    """
    path, x, y = Path(path), tuple(map(float, x)), tuple(map(float, y))
    header = dict(
        kind='landscape',
        version=2,
        seed=seed,
        x=x,
        y=y,
        of=objective.fingerprint(),
        batch_sizes=objective.batch_sizes(),
    )
    with _held(path):
        known = _open(path, header)
        points = [(i, j) for j in range(len(y)) for i in range(len(x))]
        todo = [(i, j, x[i], y[j]) for i, j in points if (i, j) not in known]
        with open(path, 'a') as file:
            for i, j, loss, accuracy in _evaluated(objective, todo, seed, processes):
                known[i, j] = loss, accuracy
                file.write(_line([i, j, loss, accuracy]))
                file.flush()
                os.fsync(file.fileno())
                if progress:
                    progress(len(known), len(points))
    return Landscape(x, y, {k: known[k][0] for k in points}, {k: known[k][1] for k in points}, len(todo))


@contextmanager
def _held(path):
    lock = FileLock(path.with_suffix('.lock'))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise A2SGError(f'another command is at work on {path}; wait for its end, or give another folder') from error
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


def _open(path, header):
    """{(i, j): (loss, accuracy)} of the points in a file, which is made or mended."""
    if path.is_file():
        lines = path.read_text(errors='replace').splitlines(keepends=True)
    else:
        lines = []
    if not lines:
        write_atomically(_line(header).encode(), path)
        return {}
    found = _read_line(lines[0])
    # through JSON, for tuples come back as lists
    header = json.loads(json.dumps(header))
    if found != header:
        differs = (
            'its first line is damaged'
            if not isinstance(found, dict)
            else 'it differs in ' + ', '.join(_NAMES.get(key, key) for key in header if found.get(key) != header[key])
        )
        raise A2SGError(f'{path} holds points of another landscape ({differs}); give another folder, or remove it')
    sound = [(line, content) for line in lines[1:] if (content := _read_line(line)) is not None]
    if len(sound) < len(lines) - 1:
        write_atomically((lines[0] + ''.join(line for line, _ in sound)).encode(), path)
    return {(i, j): (loss, accuracy) for _, (i, j, loss, accuracy) in sound}


class _Evaluator:
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
    # tensors reach a process as shared memory, and weights are moved: each has its own
    for p in objective.parameters:
        p.data = p.data.clone()
    _evaluator = _Evaluator(objective, seed)


def _work(point):
    return _evaluator(point)


def _evaluated(objective, points, seed, processes):
    if processes <= 1 or len(points) <= 1:
        yield from map(_Evaluator(objective, seed), points)
        return
    threads = max(1, torch.get_num_threads() // processes)
    # afresh: a fork after threaded work can hang
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context('spawn'), _start, (objective, seed, threads))
    try:
        yield from pool.map(_work, points)
    except BrokenProcessPool as error:
        raise A2SGError(
            'a process that computed points of the landscape died (out of memory?); the points so far are '
            'saved. Run it again, with fewer processes'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
