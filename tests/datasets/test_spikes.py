"""SHD and SSC in HDF5 files of their real layout, which the tests write."""

import sys

import numpy as np
import pytest
import torch

from a2sg_zoo.datasets import SHD, SSC
from a2sg_zoo.datasets.spikes import spike_counts
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.files import CACHE_TAG

h5py = pytest.importorskip('h5py', reason='needs the extra a2sg-zoo[events]')

SPIKE = [('t', float), ('x', int)]


def sample(seed, n=200, end=1.0):
    """Times as the files have them, float16 in seconds, and channels."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, end, n)).astype(np.float16), rng.integers(700, size=n).astype(np.uint16)


def write(path, samples, labels, classes, speakers=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        file['labels'] = np.asarray(labels, np.uint16)
        for name, column, kind in (('times', 0, np.float16), ('units', 1, np.uint16)):
            rows = file.create_dataset(f'spikes/{name}', (len(samples),), h5py.vlen_dtype(kind))
            for i, spikes in enumerate(samples):
                rows[i] = spikes[column]
        file['extra/keys'] = np.array([x.encode() for x in classes], 'S10')
        file['extra/speaker'] = np.zeros(len(samples), np.uint16)


CLASSES = [*'0123456789', *'abcdefghij']


@pytest.fixture
def root(tmp_path):
    for split, start, count in (('train', 0, 25), ('test', 50, 12)):
        samples = [sample(start + i) for i in range(count)]
        write(tmp_path / 'SHD' / f'shd_{split}.h5', samples, [i % 20 for i in range(count)], CLASSES)
    return tmp_path


def counted(times, units, T, dt, pool):
    """Counts by a loop over spikes."""
    counts = np.zeros((T, 700 // pool))
    for time, unit in zip(times.astype(float), units):
        step = int(np.floor(time / dt))
        if step < T:
            counts[step, unit // pool] += 1
    return counts


def test_shd(root, monkeypatch):
    monkeypatch.setenv('SHD_ROOT', str(root))
    train, test = SHD(), SHD(train=False, T=7, dt=0.1, pool=1)
    assert (len(train), len(test)) == (25, 12) and train.metainfo == dict(classes=tuple(CLASSES), T=100)
    assert train.labels == [i % 20 for i in range(25)]
    item = train[23]
    assert item['inputs'].shape == (100, 140) and item['inputs'].dtype == torch.float32 and item['data_samples'] == 3
    assert np.array_equal(item['inputs'], counted(*sample(23), 100, 0.014, 5)) and item['inputs'].sum() == 200
    late = test[4]['inputs']  # what comes after 0.7 s is left out
    assert np.array_equal(late, counted(*sample(54), 7, 0.1, 1)) and 100 < late.sum() < 180


def test_a_cache_that_cannot_be_written(root):
    (root / 'file').touch()
    with pytest.raises(DataError, match='cache_root'):
        SHD(root, cache_root=root / 'file')


def test_more_steps_than_the_recording_are_silent(root):
    inputs = SHD(root, T=200)[0]['inputs']
    assert inputs.sum() == 200 and not inputs[80:].any()


def test_tonic_counts_alike(root):
    pytest.importorskip('tonic')
    from tonic.transforms import ToFrame

    times, units = sample(3)
    events = np.zeros(len(times) + 2, [('t', int), ('x', int), ('p', int)])
    # tonic's slices begin at the first event, and leave out the last incomplete one
    events['t'][1:-1], events['t'][-1] = times.astype(float) * 1e6, 1_400_000
    events['x'][1:-1] = units
    frames = ToFrame((700, 1, 1), time_window=10_000)(events)[:, 0]
    frames[0, 0] -= 1
    assert np.array_equal(SHD(root, T=140, dt=0.01, pool=1)[3]['inputs'], frames)


def test_ssc(tmp_path):
    for split, count in (('train', 6), ('valid', 3), ('test', 4)):
        samples = [sample(i) for i in range(count)]
        # as `a2sg-zoo download_dataset` unpacks it
        write(
            tmp_path / 'SSC' / f'ssc_{split}' / f'ssc_{split}.h5', samples, range(count), [f'w{i}' for i in range(35)]
        )
    assert [len(SSC(tmp_path, split)) for split in ('train', 'valid', 'test')] == [6, 3, 4]
    assert np.array_equal(SSC(tmp_path)[5]['inputs'], counted(*sample(5), 100, 0.01, 5))
    with pytest.raises(ConfigError, match='split'):
        SSC(tmp_path, 'val')


def test_spikes_are_counted_once(root, monkeypatch):
    first = SHD(root)[7]['inputs']
    with monkeypatch.context() as patch:
        patch.setattr('a2sg_zoo.datasets.spikes.spike_counts', lambda *args, **options: pytest.fail('again'))
        assert SHD(root)[7]['inputs'].equal(first)
    assert len(list((root / 'SHD' / 'counts' / 'T100_dt0.014_pool5').rglob('*.npz'))) == 25
    assert (root / 'SHD' / 'counts' / 'T100_dt0.014_pool5' / CACHE_TAG).is_file()
    SHD(root, cache_root=root / 'elsewhere', pool=10)
    assert len(list((root / 'elsewhere' / 'T100_dt0.014_pool10').rglob('*.npz'))) == 25


def test_a_file_that_changed_at_the_same_size_is_counted_again(root):
    path, train = root / 'SHD' / 'shd_train.h5', SHD(root)
    size = path.stat().st_size
    write(path, [sample(i) for i in range(24, -1, -1)], [i % 20 for i in range(24, -1, -1)], CLASSES)
    assert path.stat().st_size == size and SHD(root).labels == train.labels[::-1]
    assert np.array_equal(SHD(root)[0]['inputs'], train[24]['inputs'])


def test_counts_of_time_steps_that_nearly_agree_are_kept_apart(root):
    for dt in (0.01, 0.010000002):
        SHD(root, dt=dt)
    assert len(list((root / 'SHD' / 'counts').iterdir())) == 2


@pytest.mark.parametrize(
    'times, units',
    [
        ([], []),
        ([0.1, 0.2], [5]),
        ([0.1, 0.2], [5, 700]),
        ([-0.1, 0.2], [5, 6]),
        ([0.1, np.nan], [5, 6]),
        ([0.1, np.inf], [5, 6]),
    ],
    ids=['empty', 'lengths', 'channel', 'negative', 'nan', 'infinity'],
)
def test_damaged_sample(root, times, units, logged):
    samples = [sample(i) for i in range(5)]
    samples[3] = (np.array(times, np.float16), np.array(units, np.uint16))
    path = root / 'SHD' / 'shd_train.h5'
    write(path, samples, range(5), CLASSES)
    with pytest.raises(DataError, match=f'3 in {path}.*on_error'):
        SHD(root)
    data = SHD(root, on_error='skip')
    assert data.labels == [0, 1, 2, 4] and any(str(path) in text for text in logged)
    assert np.array_equal(data[3]['inputs'], counted(*sample(4), 100, 0.014, 5))


def test_spikes_out_of_order_count_the_same():
    times, units = sample(0)
    spikes = np.zeros(200, SPIKE)
    spikes['t'], spikes['x'] = times, units
    shuffled = np.random.default_rng(0).permutation(spikes)
    assert np.array_equal(spike_counts(spikes, 50, 0.02, 5), spike_counts(shuffled, 50, 0.02, 5))


def test_counts_saturate():
    spikes = np.array([(0.0, 3)] * 300, SPIKE)
    assert spike_counts(spikes, 1, 1.0).max() == 255


@pytest.mark.parametrize('change', ['text', 'cut', 'labels', 'classes', 'no keys', 'no spikes'])
def test_damaged_file(root, change):
    path = root / 'SHD' / 'shd_train.h5'
    if change in ('text', 'cut'):
        path.write_bytes(b'<html>404</html>' if change == 'text' else path.read_bytes()[:3000])
    else:
        with h5py.File(path, 'a') as file:
            if change == 'labels':
                del file['labels']
                file['labels'] = np.zeros(7, np.uint16)
            elif change == 'classes':
                file['labels'][3] = 20
            else:
                del file['extra/keys' if change == 'no keys' else 'spikes']
    with pytest.raises(DataError, match=str(path)):
        SHD(root)


def test_missing(tmp_path):
    for kind in (SHD, SSC):
        with pytest.raises(DataError) as error:
            kind(tmp_path)
        name = kind.__name__
        for part in (str(tmp_path), f'download_dataset {name.lower()} --root', f'{name}_ROOT', 'data_root=', '--demo'):
            assert part in str(error.value)


@pytest.mark.parametrize('key, value', [('T', 0), ('dt', 0), ('pool', 3), ('pool', 0), ('on_error', 'ignore')])
def test_mistakes(root, key, value):
    with pytest.raises(ConfigError, match=f'SHD.*{key}'):
        SHD(root, **{key: value})


def test_without_h5py(root, monkeypatch):
    for name in [name for name in sys.modules if name.split('.')[0] == 'h5py']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ConfigError, match=r'h5py.*a2sg-zoo\[events\]'):
        SHD(root)
