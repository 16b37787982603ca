"""Recordings of event cameras as frames: what their data sets share, and CIFAR10-DVS.

A frame counts, for each pixel and polarity, the events within a slice of the recording. Sample i is
dict(inputs=float32 (T, 2, H, W), data_samples=label); channel 0 counts OFF events (darker), channel 1 ON events.
"""

import logging
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch.nn import functional as F

from a2sg_zoo.datasets.classification import ImagesInMemory, Step
from a2sg_zoo.datasets.frame_cache import FrameCache, Recording, damaged, version
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.registry import DATASETS
from a2sg_zoo.utils.checks import integer

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
        raise missing_package(error) from error
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the decoder, which is written in Rust, is no Exception
        raise DataError(damaged(path, error)) from error
    events.dtype.names = ['t', 'x', 'y', 'p']
    return events


def missing_package(error: ImportError) -> ConfigError:
    """Returns the error for a package of the extra `events` that cannot be imported."""
    package = (error.name or 'tonic').split('.')[0]
    return ConfigError(f'reading event recordings needs the package {package}; pip install "a2sg-zoo[events]"')


def frames_of(
    events: np.ndarray, T: int, split_by: str = 'count', size: int | None = None, sensor: tuple[int, int] = (128, 128)
) -> np.ndarray:
    """Counts the events of a recording in frames, (T, 2, H, W).

    The slices are those of tonic: each has the same number n // T of events, or the same time (t[-1] - t[0]) // T. The
    remainder at the end is left out. Events that are out of order are sorted by time first.

    Args:
        events: as from `read_events`.
        T: number of frames.
        split_by: 'count' (events) or 'time'.
        size: height and width in pixels to which frames are reduced, by a bilinear filter with antialiasing; None for
            those of the sensor.
        sensor: its width and height in pixels.

    Returns:
        uint8 without a reduction (at most 255 events are counted), float16 after one.

    Raises:
        ValueError: there are no events, fewer events or microseconds than frames, or an event lies outside the sensor.
        ConfigError: tonic is not installed.
    """
    if not len(events):
        raise ValueError('it has no events')
    if len(events) < T:
        raise ValueError(f'it has {len(events)} events, too few for {T} frames')
    for axis, bound in (('x', sensor[0]), ('y', sensor[1]), ('p', 2)):
        low, high = int(events[axis].min()), int(events[axis].max())
        if low < 0 or high >= bound:
            wrong = low if low < 0 else high
            raise ValueError(f'an event has {axis} = {wrong}, outside 0..{bound - 1}')
    if (events['t'][1:] < events['t'][:-1]).any():
        events = events[np.argsort(events['t'], kind='stable')]
    duration = int(events['t'][-1]) - int(events['t'][0])
    if split_by == 'time' and duration < T:
        raise ValueError(f'it lasts {duration} microseconds, too short for {T} frames')
    try:
        from tonic.functional import to_frame_numpy
    except ImportError as error:
        raise missing_package(error) from error
    bins = dict(count='n_event_bins', time='n_time_bins')[split_by]
    counts = to_frame_numpy(events, (*sensor, 2), **{bins: T})
    if size is None or sensor == (size, size):
        return counts.clip(max=255).astype(np.uint8)
    frames = F.interpolate(torch.from_numpy(counts).float(), (size, size), mode='bilinear', antialias=True)
    return frames.half().numpy()


class EventRecordings(ImagesInMemory):
    """Base of data sets of recordings of event cameras. A subclass says where they are, in `find`.

    Frames are computed once and kept on disk, in one folder for each T, split_by and size. The first use takes minutes.

    Args:
        data_root: folder that holds the folder `name`, as tonic unpacks it; by default the one in the environment
            variable `root_variable`, or else data.
        train: take the training recordings, or else the test recordings.
        T: frames of a sample; the T of the backbone must be the same.
        split_by, size: see `frames_of`.
        cache_root: folder for the frames; by default data_root/`name`/frames.
        on_error: 'raise' stops at a recording that is missing, cut short or damaged; 'skip' warns and leaves it out.
        pipeline: batch transforms, or their configs; see `a2sg_zoo.datasets.event_augment`.

    Attributes:
        name: of the data set's folder.
        title: what messages call the data set.
        command: its name for `a2sg-zoo download_dataset`.
        root_variable: environment variable of the root.
        layout: where the recordings are in the folder, for messages.
        sensor: width and height in pixels.

    Raises:
        DataError: recordings are missing or damaged.
        ConfigError: an argument is out of range, or tonic is needed and not installed.
    """

    name = ''
    title = ''
    command = ''
    root_variable = ''
    layout = ''
    sensor = (128, 128)

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
        check_choice(self, 'split_by', split_by, ('count', 'time'))
        check_choice(self, 'on_error', on_error, ('raise', 'skip'))
        integer('T', T, self)
        integer('size', 1 if size is None else size, self)
        self.data_root = data_root or os.environ.get(self.root_variable) or 'data'
        self.on_error = on_error
        folder = Path(self.data_root, self.name)
        recordings, classes = self.find(folder, train)
        width, height = (size, size) if size else self.sensor
        frames = FrameCache(
            Path(cache_root or folder / 'frames', f'{split_by}_T{T}_{width}x{height}'),
            recordings,
            partial(frames_of, T=T, split_by=split_by, size=size, sensor=self.sensor),
        )
        frames.fill(on_error)
        super().__init__(frames, [x.label for x in frames.recordings], classes, pipeline)
        self.metainfo['T'] = T

    def find(self, folder: Path, train: bool) -> tuple[list[Recording], Sequence[str]]:
        """Returns the recordings of a split in `folder`, and the names of the classes."""
        raise NotImplementedError

    def require(self, total: int, expected: int, folder: Path) -> None:
        """Raises a DataError, or warns, if there are `total` recordings and not `expected` ones."""
        if total == 0:
            raise DataError(
                f'{self.title} is not there: no recordings {self.layout} in {folder.absolute()}\n{self._how_to_get()}'
            )
        if total != expected:
            problem = f'{self.title} in {folder.absolute()} has {total:,} of {expected:,} recordings'
            if self.on_error == 'raise':
                raise DataError(
                    f'{problem}; remove {folder.absolute()} and get it again, or take what there is with '
                    f"on_error='skip'\n{self._how_to_get()}"
                )
            print_log(problem, logger='current', level=logging.WARNING)

    def _how_to_get(self) -> str:
        return f"""Get the data set with
    pip install "a2sg-zoo[events]"
    a2sg-zoo download_dataset {self.command} --root {self.data_root}
or set the environment variable {self.root_variable}, or pass --cfg-options data_root=PATH, to the folder
that holds {self.name}/{self.layout}. To try things without it, pass --demo: that takes the digits embedded in
scikit-learn, in motion."""


def recording(path: Path, label: int, read: Any, part: str = '') -> Recording:
    """Returns the recording in a file: its name is that of its folder, its own, and its version.

    Args:
        path: file.
        label: number of its class.
        read: function from the path to the events.
        part: begins the name, where files of training and test have equal names.
    """
    name = f'{part}{path.parent.name}/{path.stem}.{version(path)}'
    return Recording(name, str(path), label, partial(read, path))


@DATASETS.register_module()
class CIFAR10DVS(EventRecordings):
    """CIFAR10-DVS: 10,000 recordings of CIFAR-10 images that move in front of an event camera of 128x128 pixels.

    In each class the recordings have numbers in their names, 0 to 999: the first 900 are for training, the last 100 for
    the test. (Other packages sort the names as text, so 10 comes before 2; nine in ten test recordings are the same.)

    Frames are computed once and kept on disk, in one folder for each T, split_by and size. The first use takes minutes.

    Args:
        data_root: folder that holds CIFAR10DVS/CLASS/*.aedat4, as tonic unpacks it; by default the one in the
            environment variable CIFAR10DVS_ROOT, or else data.
        train, T, split_by, size, cache_root, on_error, pipeline: see `EventRecordings`.

    Raises:
        DataError: recordings are missing or damaged.
        ConfigError: an argument is out of range, or tonic is needed and not installed.

    Source: Li et al., Frontiers in Neuroscience 11:309, 2017.
    """

    name = 'CIFAR10DVS'
    title = 'CIFAR10-DVS'
    command = 'cifar10dvs'
    root_variable = 'CIFAR10DVS_ROOT'
    layout = 'CLASS/*.aedat4'
    per_class = 1000

    def find(self, folder: Path, train: bool) -> tuple[list[Recording], Sequence[str]]:
        """Returns the recordings of a split, and the names of the classes."""
        found = {name: sorted(filter(is_visible, folder.rglob(f'{name}/*.aedat4')), key=_number) for name in _CLASSES}
        self.require(sum(map(len, found.values())), self.per_class * len(_CLASSES), folder)
        first_test = self.per_class * 9 // 10
        return [
            recording(path, label, read_events)
            for label, name in enumerate(_CLASSES)
            for path in found[name]
            if (_number(path) < first_test) == train
        ], _CLASSES


def _number(path: Path) -> int:
    digits = re.findall(r'\d+', path.stem)
    if not digits:
        raise DataError(f'recording {path} has no number in its name, by which training and test are told apart')
    return int(digits[-1])


def is_visible(path: Path) -> bool:
    """Returns whether a file is none of those that macOS adds to an archive."""
    return not path.name.startswith('.') and '__MACOSX' not in path.parts


def check_choice(owner: object, name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises a ConfigError if a value is none of the choices."""
    if value not in choices:
        raise ConfigError(f'{type(owner).__name__}: {name} must be {" or ".join(map(repr, choices))}, got {value!r}')
