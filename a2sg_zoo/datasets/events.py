"""Recordings of event cameras as frames: CIFAR10-DVS.

A frame counts, for each pixel and polarity, the events within a slice of the recording. Sample i is
dict(inputs=float32 (T, 2, H, W), data_samples=label); channel 0 counts OFF events (darker), channel 1 ON events.
"""

import io
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from mmengine.logging import print_log
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from a2sg_zoo.datasets.classification import ImagesInMemory, Step
from a2sg_zoo.errors import CheckpointError, ConfigError, DataError
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.registry import DATASETS
from a2sg_zoo.utils.checks import integer

_SENSOR = 128
_CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')


def read_events(path: str | os.PathLike) -> np.ndarray:
    """Reads the events of an AEDAT 4 file with tonic.

    A file that was cut exactly between two packets, and has no table of them, looks like a complete one.

    Args:
        path: file.

    Returns:
        Structured array with t (microseconds), x, y and p (True is ON).

    Raises:
        DataError: the file is cut short or damaged.
        ConfigError: tonic, or the decoder that it calls, is not installed.
    """
    try:
        from tonic.io import read_aedat4  # takes seconds

        events = read_aedat4(path)
    except ImportError as error:
        package = (error.name or 'tonic').split('.')[0]
        raise ConfigError(
            f'reading event recordings needs the package {package}; pip install "a2sg-zoo[events]"'
        ) from error
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the decoder, which is written in Rust, is no Exception
        raise DataError(_damaged(path, error)) from error
    events.dtype.names = ['t', 'x', 'y', 'p']
    return events


def _damaged(path: str | os.PathLike, why: object) -> str:
    return (
        f'recording {path} is cut short or damaged ({why}); unpack or download this file again, or leave such '
        "files out with on_error='skip'"
    )


def frames_of(events: np.ndarray, T: int, split_by: str = 'count', size: int | None = None) -> np.ndarray:
    """Counts the events of a recording with 128x128 pixels in frames, (T, 2, H, W).

    The slices are those of tonic: each has the same number n // T of events, or the same time (t[-1] - t[0]) // T. The
    remainder at the end is left out.

    Args:
        events: as from `read_events`.
        T: number of frames.
        split_by: 'count' (events) or 'time'.
        size: height and width in pixels to which frames are reduced, by a bilinear filter with antialiasing; None for
            128.

    Returns:
        uint8 without a reduction (at most 255 events are counted), float16 after one.

    Raises:
        ValueError: there are fewer events than frames.
        IndexError: an event lies outside the sensor.
    """
    from tonic.functional import to_frame_numpy

    if len(events) < T:
        raise ValueError(f'it has {len(events)} events, too few for {T} frames')
    if split_by == 'time':
        events = events[np.argsort(events['t'], kind='stable')]
    bins = dict(count='n_event_bins', time='n_time_bins')[split_by]
    counts = to_frame_numpy(events, (_SENSOR, _SENSOR, 2), **{bins: T})
    if size in (None, _SENSOR):
        return counts.clip(max=255).astype(np.uint8)
    frames = F.interpolate(torch.from_numpy(counts).float(), (size, size), mode='bilinear', antialias=True)
    return frames.half().numpy()


class FrameCache:
    """Frames of recordings that are kept on disk: `cache[[3, 0]]` gives float32 (2, T, 2, H, W).

    Each recording has one file, which is written completely or not at all, so that several processes may share a cache.
    A file that does not match its checksum is written again. The size of the recording is part of its name.

    Args:
        folder: of the cache.
        paths: of the recordings.
        frames: function from events to frames.
    """

    def __init__(
        self, folder: str | os.PathLike, paths: Iterable[Path], frames: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.folder, self.paths, self.frames = Path(folder), list(paths), frames

    def __getitem__(self, positions: Sequence[int]) -> Tensor:
        return torch.stack([torch.from_numpy(self._read(self.paths[i])).float() for i in positions])

    def fill(self, on_error: str) -> list[int]:
        """Writes the files that are missing.

        Args:
            on_error: 'raise' or 'skip', for a recording that is damaged.

        Returns:
            The positions of the recordings that can be read.

        Raises:
            DataError: a recording is damaged, and `on_error` is 'raise'; or there is no space.
        """
        missing = [i for i, path in enumerate(self.paths) if not self._file(path).exists()]
        left_out = set()
        if missing:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / '.lock'):
                for i in tqdm(missing, f'frames in {self.folder}', unit='recordings', disable=None):
                    if self._file(self.paths[i]).exists():  # another process has written it meanwhile
                        continue
                    try:
                        self._make(self.paths[i])
                    except DataError as error:
                        if on_error == 'raise':
                            raise
                        print_log(f'left out: {error}', logger='current', level=logging.WARNING)
                        left_out.add(i)
        return [i for i in range(len(self.paths)) if i not in left_out]

    def _file(self, path: Path) -> Path:
        return self.folder / path.parent.name / f'{path.stem}.{path.stat().st_size}.npz'

    def _read(self, path: Path) -> np.ndarray:
        try:
            with np.load(self._file(path), allow_pickle=False) as archive:
                frames = archive['frames']
            if not np.isfinite(frames).all():
                raise ValueError('it has NaN or infinity')
            return frames
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            if not isinstance(error, FileNotFoundError):
                print_log(
                    f'{self._file(path)} is damaged ({error}) and is written again',
                    logger='current',
                    level=logging.WARNING,
                )
            return self._make(path)

    def _make(self, path: Path) -> np.ndarray:
        events = read_events(path)
        try:
            frames = self.frames(events)
        except (IndexError, ValueError) as error:  # pixels outside the sensor
            raise DataError(_damaged(path, error)) from error
        buffer = io.BytesIO()
        np.savez_compressed(buffer, frames=frames)
        file = self._file(path)
        try:
            write_atomically(buffer.getvalue(), file)
        except CheckpointError as error:
            reason = getattr(error.__cause__, 'strerror', error)
            raise DataError(
                f'frames could not be kept in {file.parent} ({reason}); make space, or set cache_root'
            ) from error
        return frames


@DATASETS.register_module()
class CIFAR10DVS(ImagesInMemory):
    """CIFAR10-DVS: 10,000 recordings of CIFAR-10 images that move in front of an event camera of 128x128 pixels.

    In each class the recordings have numbers in their names, 0 to 999: the first 900 are for training, the last 100 for
    the test. (Other packages sort the names as text, so 10 comes before 2; nine in ten test recordings are the same.)

    Frames are computed once and kept on disk, in one folder for each T, split_by and size. The first use takes minutes.

    Args:
        data_root: folder that holds CIFAR10DVS/CLASS/*.aedat4, as tonic unpacks it; by default the one in the
            environment variable CIFAR10DVS_ROOT, or else data.
        train: take the training recordings, or else the test recordings.
        T: frames of a sample; the T of the backbone must be the same.
        split_by, size: see `frames_of`.
        cache_root: folder for the frames; by default data_root/CIFAR10DVS/frames.
        on_error: 'raise' stops at a recording that is missing, cut short or damaged; 'skip' warns and leaves it out.
        pipeline: batch transforms, or their configs; see `a2sg_zoo.datasets.event_augment`.

    Raises:
        DataError: recordings are missing or damaged.
        ConfigError: an argument is out of range, or tonic is needed and not installed.

    Source: Li et al., Frontiers in Neuroscience 11:309, 2017.
    """

    per_class = 1000

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        train: bool = True,
        T: int = 10,
        split_by: str = 'count',
        size: int | None = None,
        cache_root: str | os.PathLike | None = None,
        on_error: str = 'raise',
        pipeline: Sequence[Step] = (),
    ) -> None:
        _check(self, 'split_by', split_by, ('count', 'time'))
        _check(self, 'on_error', on_error, ('raise', 'skip'))
        integer('T', T, self)
        integer('size', _SENSOR if size is None else size, self)
        self.data_root = data_root or os.environ.get('CIFAR10DVS_ROOT') or 'data'
        folder = Path(self.data_root, 'CIFAR10DVS')
        paths, labels = self._recordings(folder, train, on_error)
        name = f'{split_by}_T{T}_{size or _SENSOR}'
        frames = FrameCache(
            Path(cache_root or folder / 'frames', name), paths, partial(frames_of, T=T, split_by=split_by, size=size)
        )
        sound = frames.fill(on_error)
        frames.paths = [paths[i] for i in sound]
        super().__init__(frames, [labels[i] for i in sound], _CLASSES, pipeline)
        self.metainfo['T'] = T

    def _recordings(self, folder: Path, train: bool, on_error: str) -> tuple[list[Path], list[int]]:
        found = {name: sorted(folder.rglob(f'{name}/*.aedat4'), key=_number) for name in _CLASSES}
        total, expected = sum(map(len, found.values())), self.per_class * len(_CLASSES)
        if total == 0:
            raise DataError(
                f'CIFAR10-DVS is not there: no recordings CLASS/*.aedat4 in {folder.absolute()}\n{self._how_to_get()}'
            )
        if total != expected:
            problem = f'CIFAR10-DVS in {folder.absolute()} has {total:,} of {expected:,} recordings'
            if on_error == 'raise':
                raise DataError(
                    f"{problem}; unpack it again, or take what there is with on_error='skip'\n{self._how_to_get()}"
                )
            print_log(problem, logger='current', level=logging.WARNING)
        first_test = self.per_class * 9 // 10
        chosen = [
            (path, label)
            for label, name in enumerate(_CLASSES)
            for path in found[name]
            if (_number(path) < first_test) == train
        ]
        return [path for path, _ in chosen], [label for _, label in chosen]

    def _how_to_get(self) -> str:
        return f"""Get the data set with
    pip install "a2sg-zoo[events]"
    a2sg-zoo download_dataset cifar10dvs --root {self.data_root}
or set the environment variable CIFAR10DVS_ROOT, or pass --cfg-options data_root=PATH, to the folder
that holds CIFAR10DVS/CLASS/*.aedat4. To try things without it, pass --demo: that takes the digits embedded in
scikit-learn, in motion."""


def _number(path: Path) -> int:
    digits = re.findall(r'\d+', path.stem)
    if not digits:
        raise DataError(f'recording {path} has no number in its name, by which training and test are told apart')
    return int(digits[-1])


def _check(owner: object, name: str, value: Any, choices: Sequence[Any]) -> None:
    if value not in choices:
        raise ConfigError(f'{type(owner).__name__}: {name} must be {" or ".join(map(repr, choices))}, got {value!r}')
