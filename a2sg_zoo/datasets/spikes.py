"""Speech as spike trains of a model of the ear: Spiking Heidelberg Digits and Spiking Speech Commands."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from a2sg_zoo.datasets.classification import ImagesInMemory, Step
from a2sg_zoo.datasets.events import check_choice, missing_package
from a2sg_zoo.datasets.frame_cache import FrameCache, Recording, damaged, version
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.registry import DATASETS
from a2sg_zoo.utils.checks import integer, positive

CHANNELS = 700
_SPIKE = np.dtype([('t', np.float64), ('x', np.int64)])


def read_spikes(path: str | os.PathLike, index: int) -> np.ndarray:
    """Reads the spikes of one sample of an HDF5 file with spikes/times (seconds) and spikes/units.

    Returns:
        Structured array with t (seconds) and x (channel).

    Raises:
        DataError: the file is cut short or damaged.
        ConfigError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_package(error) from error
    try:
        with h5py.File(path, 'r') as file:
            times, units = file['spikes/times'][index], file['spikes/units'][index]
        if len(times) != len(units):
            raise ValueError(f'{len(times)} times, but {len(units)} units')
    except Exception as error:  # h5py raises whatever its library found
        raise DataError(damaged(f'{index} in {path}', error)) from error
    spikes = np.empty(len(times), _SPIKE)
    spikes['t'], spikes['x'] = times, units
    return spikes


def spike_counts(spikes: np.ndarray, T: int, dt: float, pool: int = 1) -> np.ndarray:
    """Counts spikes in bins of time and groups of channels:

        count[t, f] = number of spikes with t dt <= time < (t + 1) dt and channel // pool = f

    Spikes at T dt and later are left out. A shorter recording ends with zeros.

    Args:
        spikes: as from `read_spikes`.
        T: number of bins.
        dt: length of a bin, in seconds.
        pool: adjacent channels that are counted together.

    Returns:
        uint8 (T, 700 / pool); at most 255 spikes are counted.

    Raises:
        ValueError: there are no spikes, or one has a channel or a time that cannot be.

    >>> import numpy as np
    >>> spikes = np.array([(0.001, 3), (0.012, 699)], dtype=[('t', float), ('x', int)])
    >>> spike_counts(spikes, T=2, dt=0.01, pool=350).tolist()
    [[1, 0], [0, 1]]
    """
    if not len(spikes):
        raise ValueError('it has no spikes')
    time, channel = spikes['t'], spikes['x']
    if not np.isfinite(time).all() or time.min() < 0:
        raise ValueError('a spike has a time that is negative, NaN or infinity')
    if channel.min() < 0 or channel.max() >= CHANNELS:
        wrong = channel.min() if channel.min() < 0 else channel.max()
        raise ValueError(f'a spike has the channel {wrong}, outside 0..{CHANNELS - 1}')
    step = np.floor(time / dt)
    inside = step < T
    place = step[inside].astype(np.int64) * (CHANNELS // pool) + channel[inside] // pool
    counts = np.bincount(place, minlength=T * CHANNELS // pool).reshape(T, -1)
    return counts.clip(max=255).astype(np.uint8)


class SpikeTrains(ImagesInMemory):
    """Base of SHD and SSC: sample i is dict(inputs=float32 (T, 700 / pool), data_samples=label), counts of spikes.

    Counts are computed once and kept on disk, in one folder for each T, dt and pool. The first use takes minutes.

    Args:
        data_root: folder that holds the folder of the data set, as tonic unpacks it.
        split: of the data set; a subclass names it.
        T: time steps of a sample; the T of the backbone must be the same.
        dt: length of a time step, in seconds.
        pool: adjacent channels that are counted together; a divisor of 700.
        cache_root: folder for the counts; by default data_root/NAME/counts.
        on_error: 'raise' stops at a sample that is damaged; 'skip' warns and leaves it out.
        pipeline: batch transforms, or their configs.

    Raises:
        DataError: the file is missing or damaged, or a sample is.
        ConfigError: an argument is out of range, or h5py is not installed.
    """

    name = ''
    title = ''

    def __init__(
        self,
        data_root: str | os.PathLike | None,
        split: str,
        T: int,
        dt: float,
        pool: int,
        cache_root: str | os.PathLike | None,
        on_error: str,
        pipeline: Sequence[Step],
    ) -> None:
        check_choice(self, 'on_error', on_error, ('raise', 'skip'))
        integer('T', T, self)
        dt = positive('dt', dt, self)
        if CHANNELS % integer('pool', pool, self):
            raise ConfigError(f'{type(self).__name__}: pool must divide the {CHANNELS} channels, got {pool}')
        self.data_root = data_root or os.environ.get(f'{self.name}_ROOT') or 'data'
        path = self._file(split)
        labels, classes = self._contents(path)
        # a thousand files in a folder
        part = f'{path.stem}.{version(path)}'
        recordings = [
            Recording(f'{part}/{i // 1000}/{i}', f'{i} in {path}', int(label), partial(read_spikes, path, i))
            for i, label in enumerate(labels)
        ]
        folder = Path(cache_root or Path(self.data_root, self.name, 'counts'), f'T{T}_dt{dt}_pool{pool}')
        counts = FrameCache(folder, recordings, partial(spike_counts, T=T, dt=dt, pool=pool))
        counts.fill(on_error)
        super().__init__(counts, [x.label for x in counts.recordings], classes, pipeline)
        self.metainfo['T'] = T

    def _file(self, split: str) -> Path:
        name = f'{self.name.lower()}_{split}'
        folder = Path(self.data_root, self.name)
        # as tonic unpacks it, and as `download_dataset` does
        for path in (folder / f'{name}.h5', folder / name / f'{name}.h5'):
            if path.is_file():
                return path
        raise DataError(f'{self.title} is not there: no file {(folder / name).absolute()}.h5\n{self._how_to_get()}')

    def _contents(self, path: Path) -> tuple[np.ndarray, list[str]]:
        try:
            import h5py
        except ImportError as error:
            raise missing_package(error) from error
        try:
            with h5py.File(path, 'r') as file:
                labels = np.asarray(file['labels'][()]).astype(np.int64)
                classes = [x.decode() if isinstance(x, bytes) else str(x) for x in file['extra/keys'][()]]
                rows = {name: len(file[f'spikes/{name}']) for name in ('times', 'units')}
            if set(rows.values()) != {len(labels)}:
                raise ValueError(f'{len(labels)} labels, but {rows["times"]} times and {rows["units"]} units')
            if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
                raise ValueError(f'labels from {labels.min()} to {labels.max()}, but {len(classes)} classes')
        except Exception as error:  # h5py raises whatever its library found
            raise DataError(
                f'{self.title}: {path.absolute()} is cut short or damaged ({error}); remove it\n{self._how_to_get()}'
            ) from error
        return labels, classes

    def _how_to_get(self) -> str:
        return f"""Get the data set with
    pip install "a2sg-zoo[events]"
    a2sg-zoo download_dataset {self.name.lower()} --root {self.data_root}
or set the environment variable {self.name}_ROOT, or pass --cfg-options data_root=PATH, to the folder that holds
{self.name}/{self.name.lower()}_train.h5. To try things without it, pass --demo: that takes spike trains that the \
package draws."""


@DATASETS.register_module()
class SHD(SpikeTrains):
    """Spiking Heidelberg Digits: digits in German and English, 20 classes, 8,156 for training, 2,264 for the test.

    Args:
        data_root: folder that holds SHD/shd_train.h5 and SHD/shd_test.h5; by default the one in the environment
            variable SHD_ROOT, or else data.
        train: take the training samples, or else the test samples.
        T, dt, pool, cache_root, on_error, pipeline: see `SpikeTrains`. By default 100 time steps of 14 ms, which
            are 1.4 s, and 140 channels.

    Raises:
        DataError: the file is missing or damaged, or a sample is.
        ConfigError: an argument is out of range, or h5py is not installed.

    Source: Cramer et al., IEEE Transactions on Neural Networks and Learning Systems 33:2744-2757, 2022.
    """

    name = 'SHD'
    title = 'Spiking Heidelberg Digits'

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        train: bool = True,
        T: int = 100,
        dt: float = 0.014,
        pool: int = 5,
        cache_root: str | os.PathLike | None = None,
        on_error: str = 'raise',
        pipeline: Sequence[Step] = (),
    ) -> None:
        super().__init__(data_root, 'train' if train else 'test', T, dt, pool, cache_root, on_error, pipeline)


@DATASETS.register_module()
class SSC(SpikeTrains):
    """Spiking Speech Commands: 35 words of one second: 75,466 for training, 9,981 for validation, 20,382 for test.

    Args:
        data_root: folder that holds SSC/ssc_train.h5, SSC/ssc_valid.h5 and SSC/ssc_test.h5; by default the one in the
            environment variable SSC_ROOT, or else data.
        split: 'train', 'valid' or 'test'.
        T, dt, pool, cache_root, on_error, pipeline: see `SpikeTrains`. By default 100 time steps of 10 ms, and 140
            channels.

    Raises:
        DataError: the file is missing or damaged, or a sample is.
        ConfigError: an argument is out of range, or h5py is not installed.

    Source: Cramer et al., IEEE Transactions on Neural Networks and Learning Systems 33:2744-2757, 2022.
    """

    name = 'SSC'
    title = 'Spiking Speech Commands'

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        split: str = 'train',
        T: int = 100,
        dt: float = 0.01,
        pool: int = 5,
        cache_root: str | os.PathLike | None = None,
        on_error: str = 'raise',
        pipeline: Sequence[Step] = (),
    ) -> None:
        check_choice(self, 'split', split, ('train', 'valid', 'test'))
        super().__init__(data_root, split, T, dt, pool, cache_root, on_error, pipeline)
