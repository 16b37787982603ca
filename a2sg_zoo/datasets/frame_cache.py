"""Frames and spike counts of recordings, computed once and kept on disk."""

import io
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from mmengine.logging import print_log
from torch import Tensor
from tqdm import tqdm

from a2sg_zoo.errors import CheckpointError, ConfigError, DataError
from a2sg_zoo.hub.files import mark_as_cache, write_atomically


@dataclass(frozen=True)
class Recording:
    """A recording of events, which is read when it is needed.

    Attributes:
        name: of its file in the cache, without the suffix. Two versions of a recording must differ in it, so it
            contains the `version` of the file.
        where: what messages call it, such as its path.
        label: number of its class.
        read: returns the events, a structured array; it raises a DataError for a damaged file.
    """

    name: str
    where: str
    label: int
    read: Callable[[], np.ndarray]


def version(path: Path) -> str:
    """Returns the size of a file and the time of its last change, which tell two versions of it apart."""
    status = path.stat()
    return f'{status.st_size}.{status.st_mtime_ns}'


class FrameCache:
    """Frames of recordings that are kept on disk: `cache[[3, 0]]` gives float32 (2, T, ...).

    Each recording has one file, which is written completely or not at all, so that several processes may share a cache.
    A file that does not match its checksum is written again.

    Args:
        folder: of the cache.
        recordings: the recordings, in the order of their positions.
        frames: function from events to frames; a ValueError of it says what is wrong with the events.
    """

    def __init__(
        self, folder: str | os.PathLike, recordings: Iterable[Recording], frames: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.folder, self.recordings, self.frames = Path(folder), list(recordings), frames

    def __getitem__(self, positions: Sequence[int]) -> Tensor:
        return torch.stack([torch.from_numpy(self._read(self.recordings[i])).float() for i in positions])

    def fill(self, on_error: str) -> None:
        """Writes the files that are missing.

        Args:
            on_error: 'raise', or 'skip' to take damaged recordings out of `recordings`, with a warning.

        Raises:
            DataError: a recording is damaged, and `on_error` is 'raise'; or the files cannot be written.
        """
        missing = [x for x in self.recordings if not self._file(x).exists()]
        if not missing:
            return
        left_out = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.folder / '.lock').acquire()
            mark_as_cache(self.folder)
        except OSError as error:
            raise DataError(self._not_kept(self.folder, error.strerror)) from error
        with held:
            for recording in tqdm(missing, f'frames in {self.folder}', unit='recordings', disable=None):
                if self._file(recording).exists():  # another process has written it meanwhile
                    continue
                try:
                    self._make(recording)
                except DataError as error:
                    if on_error == 'raise':
                        raise
                    print_log(f'left out: {error}', logger='current', level=logging.WARNING)
                    left_out.add(recording.name)
        self.recordings = [x for x in self.recordings if x.name not in left_out]

    def _file(self, recording: Recording) -> Path:
        return self.folder / f'{recording.name}.npz'

    def _read(self, recording: Recording) -> np.ndarray:
        file = self._file(recording)
        try:
            with np.load(file, allow_pickle=False) as archive:
                frames = archive['frames']
            if not np.isfinite(frames).all():
                raise ValueError('it has NaN or infinity')
            return frames
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            if not isinstance(error, FileNotFoundError):
                print_log(f'{file} is damaged ({error}) and is written again', logger='current', level=logging.WARNING)
            return self._make(recording)

    def _make(self, recording: Recording) -> np.ndarray:
        events = recording.read()
        try:
            frames = self.frames(events)
        except ConfigError:  # a package is missing
            raise
        except ValueError as error:
            raise DataError(damaged(recording.where, error)) from error
        buffer = io.BytesIO()
        np.savez_compressed(buffer, frames=frames)
        file = self._file(recording)
        try:
            write_atomically(buffer.getvalue(), file)
        except CheckpointError as error:
            reason = getattr(error.__cause__, 'strerror', error)
            raise DataError(self._not_kept(file.parent, reason)) from error
        return frames

    @staticmethod
    def _not_kept(folder: Path, reason: object) -> str:
        return f'frames could not be kept in {folder} ({reason}); make space or get access there, or set cache_root'


def damaged(where: object, why: object) -> str:
    """Returns the message for a recording that cannot be used."""
    return (
        f'recording {where} is cut short or damaged ({why}); unpack or download this file again, or leave such '
        "recordings out with on_error='skip'"
    )
