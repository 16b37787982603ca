"""Data sets of event cameras that tonic publishes: DVS128 Gesture, N-MNIST and N-Caltech101."""

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from a2sg_zoo.datasets.classification import Step
from a2sg_zoo.datasets.events import EventRecordings, is_visible, missing_package, recording
from a2sg_zoo.datasets.frame_cache import Recording, damaged
from a2sg_zoo.errors import DataError
from a2sg_zoo.registry import DATASETS

_GESTURES = (
    'hand clapping',
    'right hand wave',
    'left hand wave',
    'right arm clockwise',
    'right arm counter-clockwise',
    'left arm clockwise',
    'left arm counter-clockwise',
    'arm roll',
    'air drums',
    'air guitar',
    'other gestures',
)
_EVENT = np.dtype([('x', np.int64), ('y', np.int64), ('t', np.int64), ('p', np.int64)])
# bytes of an event in a .bin file
_EVENT_BYTES = 5


def read_gesture(path: str | os.PathLike) -> np.ndarray:
    """Reads the events of a .npy file in which tonic publishes a gesture: rows x, y, p and t in milliseconds.

    Returns:
        Structured array with x, y, t (microseconds) and p.

    Raises:
        DataError: the file is cut short or damaged.
    """
    try:
        rows = np.load(path, allow_pickle=False)
        if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind not in 'iufb':
            raise ValueError(f'it holds an array of {rows.dtype} of shape {rows.shape}, not rows x, y, p, t')
        if rows.dtype.kind == 'f' and not np.isfinite(rows).all():
            raise ValueError('it has NaN or infinity')
    except (OSError, ValueError, EOFError) as error:
        raise DataError(damaged(path, error)) from error
    events = np.empty(len(rows), _EVENT)
    for name, column, factor in (('x', 0, 1), ('y', 1, 1), ('p', 2, 1), ('t', 3, 1000)):
        events[name] = rows[:, column].astype(np.int64) * factor
    return events


def read_bin(path: str | os.PathLike) -> np.ndarray:
    """Reads the events of a .bin file of N-MNIST or N-Caltech101, 40 bits an event, with tonic.

    Returns:
        Structured array with x, y, t (microseconds) and p.

    Raises:
        DataError: the file is cut short or damaged.
        ConfigError: tonic is not installed.
    """
    try:
        from tonic.io import read_mnist_file  # takes seconds
    except ImportError as error:
        raise missing_package(error) from error
    try:
        size = os.path.getsize(path)
        if size % _EVENT_BYTES:
            raise ValueError(f'its {size} bytes are no whole number of events')
        return read_mnist_file(os.fspath(path), dtype=_EVENT)
    except (OSError, ValueError) as error:
        raise DataError(damaged(path, error)) from error


@DATASETS.register_module()
class DVSGesture(EventRecordings):
    """DVS128 Gesture: 11 gestures of 29 persons in three lights, 1,077 recordings for training and 264 for the test.

    The recordings are those that tonic publishes, one gesture each, with times in milliseconds.

    Args:
        data_root: folder that holds DVSGesture/ibmGestureTrain and DVSGesture/ibmGestureTest, as tonic unpacks them; by
            default the one in the environment variable DVSGESTURE_ROOT, or else data.
        train, split_by, size, cache_root, on_error, pipeline: see `EventRecordings`.
        T: frames of a sample.

    Raises:
        DataError: recordings are missing or damaged.
        ConfigError: an argument is out of range, or tonic is needed and not installed.

    Source: Amir et al., CVPR 2017.
    """

    name = 'DVSGesture'
    title = 'DVS128 Gesture'
    command = 'dvs_gesture'
    root_variable = 'DVSGESTURE_ROOT'
    layout = 'ibmGesture{Train,Test}/userNN_LIGHT/N.npy'
    expected = dict(train=1077, test=264)

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        train: bool = True,
        T: int = 16,
        split_by: str = 'count',
        size: int | None = None,
        cache_root: str | os.PathLike | None = None,
        on_error: str = 'raise',
        pipeline: Sequence[Step] = (),
    ) -> None:
        super().__init__(data_root, train, T, split_by, size, cache_root, on_error, pipeline)

    def find(self, folder: Path, train: bool) -> tuple[list[Recording], Sequence[str]]:
        """Returns the recordings of a split, and the names of the classes."""
        paths = sorted(_files(folder, 'ibmGestureTrain' if train else 'ibmGestureTest', '.npy'))
        self.require(len(paths), self.expected['train' if train else 'test'], folder)
        labels = [_label(path, path.stem, len(_GESTURES)) for path in paths]
        return [recording(path, label, read_gesture) for path, label in zip(paths, labels)], _GESTURES


@DATASETS.register_module()
class NMNIST(EventRecordings):
    """N-MNIST: MNIST on a screen before an event camera of 34x34 pixels that moves three times: 60,000 and 10,000.

    Args:
        data_root: folder that holds NMNIST/Train and NMNIST/Test, as tonic unpacks them; by default the one in the
            environment variable NMNIST_ROOT, or else data.
        train, T, split_by, size, cache_root, on_error, pipeline: see `EventRecordings`.

    Raises:
        DataError: recordings are missing or damaged.
        ConfigError: an argument is out of range, or tonic is needed and not installed.

    Source: Orchard et al., Frontiers in Neuroscience 9:437, 2015.
    """

    name = 'NMNIST'
    title = 'N-MNIST'
    command = 'nmnist'
    root_variable = 'NMNIST_ROOT'
    layout = '{Train,Test}/DIGIT/*.bin'
    sensor = (34, 34)
    expected = dict(train=60_000, test=10_000)

    def find(self, folder: Path, train: bool) -> tuple[list[Recording], Sequence[str]]:
        """Returns the recordings of a split, and the names of the classes."""
        part = 'Train' if train else 'Test'
        paths = sorted(_files(folder, part, '.bin'))
        self.require(len(paths), self.expected['train' if train else 'test'], folder)
        labels = [_label(path, path.parent.name, 10) for path in paths]
        found = [recording(path, label, read_bin, f'{part}/') for path, label in zip(paths, labels)]
        return found, list(map(str, range(10)))


@DATASETS.register_module()
class NCaltech101(EventRecordings):
    """N-Caltech101: 8,709 pictures of 101 classes on a screen before an event camera, of at most 240x180 pixels.

    The data set has no split. Here the first nine tenths of each class, by name, are for training, and the others for
    the test. Smaller recordings lie in the upper left corner of the frame; `size` reduces the whole of it.

    Args:
        data_root: folder that holds NCALTECH101/Caltech101/CLASS/*.bin, as tonic unpacks it; by default the one in the
            environment variable NCALTECH101_ROOT, or else data.
        train, T, split_by, size, cache_root, on_error, pipeline: see `EventRecordings`.

    Raises:
        DataError: recordings are missing or damaged.
        ConfigError: an argument is out of range, or tonic is needed and not installed.

    Source: Orchard et al., Frontiers in Neuroscience 9:437, 2015.
    """

    name = 'NCALTECH101'
    title = 'N-Caltech101'
    command = 'ncaltech101'
    root_variable = 'NCALTECH101_ROOT'
    layout = 'Caltech101/CLASS/*.bin'
    sensor = (240, 180)
    expected = 8709

    def find(self, folder: Path, train: bool) -> tuple[list[Recording], Sequence[str]]:
        """Returns the recordings of a split, and the names of the classes."""
        found: dict[str, list[Path]] = {}
        for path in sorted(_files(folder, 'Caltech101', '.bin')):
            found.setdefault(path.parent.name, []).append(path)
        self.require(sum(map(len, found.values())), self.expected, folder)
        chosen = []
        for label, paths in enumerate(found.values()):
            first_test = len(paths) * 9 // 10
            chosen += [recording(x, label, read_bin) for x in (paths[:first_test] if train else paths[first_test:])]
        return chosen, list(found)


def _files(folder: Path, part: str, suffix: str) -> list[Path]:
    """The files CLASS/NAME in the folder `part`, which may lie deeper in `folder`; not those that macOS adds."""
    for top in chain([folder / part], folder.rglob(part)):
        files = list(filter(is_visible, top.glob(f'*/*{suffix}')))
        if files:
            return files
    return []


def _label(path: Path, text: str, classes: int) -> int:
    if not text.isdecimal() or int(text) >= classes:
        raise DataError(f'recording {path}: {text!r} is no class; its name must be a number from 0 to {classes - 1}')
    return int(text)
