"""DVS128 Gesture, N-MNIST and N-Caltech101 in files of their real formats, which the tests write."""

import shutil
import sys

import numpy as np
import pytest
import torch

from a2sg_zoo.datasets import NMNIST, DVSGesture, NCaltech101, SeededIndex
from a2sg_zoo.datasets.event_sets import read_bin, read_gesture
from a2sg_zoo.errors import ConfigError, DataError

pytest.importorskip('tonic', reason='needs the extra a2sg-zoo[events]')

XYTP = np.dtype([('x', np.int64), ('y', np.int64), ('t', np.int64), ('p', np.int64)])


def recording(n=400, width=34, height=34, seed=0, end=300_000):
    rng = np.random.default_rng(seed)
    events = np.zeros(n, XYTP)
    events['t'] = np.sort(rng.integers(end, size=n))
    for name, top in (('x', width), ('y', height), ('p', 2)):
        events[name] = rng.integers(top, size=n)
    return events


def binary(events):
    """40 bits an event: x, y, polarity and 23 bits of time; y = 240 stands for 2**13 microseconds that have passed."""
    bytes_, passed = bytearray(), 0
    for x, y, t, p in events.tolist():
        while t - passed >= 2**23:
            bytes_ += bytes((0, 240, 0, 0, 0))
            passed += 2**13
        time = t - passed
        bytes_ += bytes((x, y, p << 7 | time >> 16, time >> 8 & 255, time & 255))
    return bytes(bytes_)


def counted(slices, width=34, height=34):
    frames = np.zeros((len(slices), 2, height, width), int)
    for frame, part in zip(frames, slices):
        np.add.at(frame, (part['p'], part['y'], part['x']), 1)
    return frames


def write_nmnist(root):
    for split, count in (('Train', 3), ('Test', 2)):
        for digit in range(10):
            folder = root / 'NMNIST' / split / str(digit)
            folder.mkdir(parents=True)
            for i in range(count):
                seed = 100 * digit + 10 * i + (split == 'Test')
                (folder / f'{i:05d}.bin').write_bytes(binary(recording(seed=seed)))


def write_gestures(root):
    for split, users in (('ibmGestureTrain', (1, 2)), ('ibmGestureTest', (24,))):
        for user in users:
            folder = root / 'DVSGesture' / split / f'user{user:02d}_fluorescent_led'
            folder.mkdir(parents=True)
            for label in range(11):
                events = recording(300, 128, 128, seed=100 * user + label, end=6000)  # milliseconds
                rows = np.stack([events[name] for name in ('x', 'y', 'p', 't')], 1)
                np.save(folder / f'{label}.npy', rows)


def write_caltech(root):
    for label, (name, count) in enumerate((('BACKGROUND_Google', 11), ('accordion', 20), ('yin_yang', 10))):
        folder = root / 'NCALTECH101' / 'Caltech101' / name
        folder.mkdir(parents=True)
        for i in range(1, count + 1):
            (folder / f'image_{i:04d}.bin').write_bytes(binary(recording(300, 200, 150, seed=100 * label + i)))


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    write_nmnist(root)
    write_gestures(root)
    write_caltech(root)
    return root


@pytest.fixture
def root(written, tmp_path, monkeypatch):
    monkeypatch.setattr(NMNIST, 'expected', dict(train=30, test=20))
    monkeypatch.setattr(DVSGesture, 'expected', dict(train=22, test=11))
    monkeypatch.setattr(NCaltech101, 'expected', 41)
    return shutil.copytree(written, tmp_path / 'data')


def test_reads_what_was_written(tmp_path):
    late = recording(50, end=2**24)  # beyond the 23 bits of a time
    (tmp_path / 'a.bin').write_bytes(binary(late))
    assert np.array_equal(read_bin(tmp_path / 'a.bin'), late)


def test_nmnist(root, monkeypatch):
    monkeypatch.setenv('NMNIST_ROOT', str(root))
    train, test = NMNIST(T=4), NMNIST(train=False, T=4, split_by='time')
    assert (len(train), len(test)) == (30, 20) and train.metainfo == dict(classes=tuple('0123456789'), T=4)
    assert train.labels == [digit for digit in range(10) for _ in range(3)]
    item = train[3 * 7 + 2]
    assert item['data_samples'] == 7 and item['inputs'].dtype == torch.float32
    assert np.array_equal(item['inputs'], counted(np.split(recording(seed=720), 4)))
    events = recording(seed=711)
    window = int(events['t'][-1] - events['t'][0]) // 4
    bins = (events['t'] - events['t'][0]) // window
    assert np.array_equal(test[2 * 7 + 1]['inputs'], counted([events[bins == i] for i in range(4)]))


def test_files_of_training_and_test_with_equal_names(root):
    NMNIST(root, T=4)
    assert np.array_equal(NMNIST(root, train=False, T=4)[1]['inputs'], counted(np.split(recording(seed=11), 4)))


def test_gestures(root):
    train, test = DVSGesture(root, T=5, size=16), DVSGesture(root, train=False, T=5)
    assert (len(train), len(test)) == (22, 11) and len(train.metainfo['classes']) == 11
    assert sorted(train.labels) == sorted([*range(11)] * 2)
    assert train[0]['inputs'].shape == (5, 2, 16, 16)
    for i, label in enumerate(test.labels):
        events = recording(300, 128, 128, seed=2400 + label, end=6000)
        assert np.array_equal(test[i]['inputs'], counted(np.split(events, 5), 128, 128))
    path = next((root / 'DVSGesture').rglob('3.npy'))
    assert read_gesture(path)['t'].max() > 5_000_000  # microseconds
    augmented = DVSGesture(root, T=5, size=16, pipeline=[dict(type='BatchEventAugment')])
    first, second = (augmented[SeededIndex(4, 9)]['inputs'] for _ in range(2))
    assert first.equal(second)


def test_caltech(root):
    train, test = NCaltech101(root, T=3), NCaltech101(root, train=False, T=3)
    assert train.metainfo['classes'] == ('BACKGROUND_Google', 'accordion', 'yin_yang')
    assert train.labels == [0] * 9 + [1] * 18 + [2] * 9 and test.labels == [0] * 2 + [1] * 2 + [2]
    assert train[0]['inputs'].shape == (3, 2, 180, 240)
    events = recording(300, 200, 150, seed=119)
    assert np.array_equal(test[2]['inputs'], counted(np.split(events, 3), 240, 180))
    for size in (48, 240):  # the sensor is 240 pixels wide, and not as high
        assert NCaltech101(root, T=3, size=size)[0]['inputs'].shape == (3, 2, size, size)


def test_folders_of_an_archive(root):
    """A folder above, and what macOS adds."""
    folder = root / 'NCALTECH101'
    (folder / 'archive').mkdir()
    (folder / 'Caltech101').rename(folder / 'archive' / 'Caltech101')
    hidden = folder / '__MACOSX' / 'Caltech101' / 'accordion'
    hidden.mkdir(parents=True)
    (hidden / 'image_0001.bin').write_bytes(b'?')
    (folder / 'archive' / 'Caltech101' / 'accordion' / '._image_0001.bin').write_bytes(b'?')
    assert len(NCaltech101(root, T=3)) == 36


DAMAGE = dict(
    empty=lambda data: b'',
    cut=lambda data: data[:-7],
    few=lambda data: data[:5],
    outside=lambda data: bytes((99,)) + data[1:],
    text=lambda data: b'<html>404</html>' * 5,
)


@pytest.mark.parametrize('damage', DAMAGE)
def test_damaged_bin(root, damage, logged):
    victim = root / 'NMNIST' / 'Train' / '4' / '00001.bin'
    victim.write_bytes(DAMAGE[damage](victim.read_bytes()))
    with pytest.raises(DataError, match=str(victim)):
        NMNIST(root, T=4)
    data = NMNIST(root, T=4, on_error='skip')
    assert len(data) == 29 and data.labels.count(4) == 2 and any(str(victim) in text for text in logged)
    assert np.array_equal(data[13]['inputs'], counted(np.split(recording(seed=420), 4)))


@pytest.mark.parametrize(
    'rows',
    [
        np.zeros((0, 4), int),
        np.zeros((50, 3), int),
        np.full((50, 4), np.nan),
        np.array([dict(a=1)], object),
        np.full((50, 4), 300),
        None,
    ],
    ids=['empty', 'columns', 'nan', 'pickle', 'outside', 'text'],
)
def test_damaged_gesture(root, rows):
    victim = next((root / 'DVSGesture' / 'ibmGestureTest').rglob('6.npy'))
    if rows is None:
        victim.write_text('not found')
    else:
        np.save(victim, rows, allow_pickle=True)
    with pytest.raises(DataError, match=str(victim)):
        DVSGesture(root, train=False, T=5)
    assert len(DVSGesture(root, train=False, T=5, on_error='skip')) == 10


@pytest.mark.parametrize('name', ['other', '11', '-1'])
def test_a_name_that_is_no_class(root, name):
    victim = next((root / 'DVSGesture' / 'ibmGestureTest').rglob('6.npy'))
    victim.rename(victim.with_name(f'{name}.npy'))
    with pytest.raises(DataError, match=f'{name}.npy'):
        DVSGesture(root, train=False, T=5)


TRAINING = {
    NMNIST: 'Train/3/00001.bin',
    DVSGesture: 'ibmGestureTrain/*/3.npy',
    NCaltech101: '*/accordion/image_0001.bin',
}


@pytest.mark.parametrize('kind', TRAINING)
def test_missing_and_incomplete(kind, root):
    elsewhere = root / 'elsewhere'
    with pytest.raises(DataError) as error:
        kind(elsewhere)
    for part in (str(elsewhere), f'a2sg-zoo download_dataset {kind.command} --root', kind.root_variable, '--demo'):
        assert part in str(error.value)
    whole = len(kind(root, T=3))
    next((root / kind.name).glob(TRAINING[kind])).unlink()
    with pytest.raises(DataError, match=f'{root / kind.name}.*on_error'):
        kind(root, T=3)
    assert len(kind(root, T=3, on_error='skip')) == whole - 1


def test_more_frames_than_the_recording(root):
    with pytest.raises(DataError, match='00000.bin.*401'):
        NMNIST(root, T=401)
    short = root / 'NMNIST' / 'Train' / '3' / '00001.bin'
    short.write_bytes(binary(recording(20, end=5)))
    assert NMNIST(root, T=10)[0]  # by count
    with pytest.raises(DataError, match=str(short)):
        NMNIST(root, T=10, split_by='time')


def test_without_tonic(root, monkeypatch):
    for name in [name for name in sys.modules if name.split('.')[0] == 'tonic']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'tonic', None)
    for kind in (NMNIST, DVSGesture):
        with pytest.raises(ConfigError, match=r'tonic.*a2sg-zoo\[events\]'):
            kind(root)
