"""Event recordings, their frames, and the cache of these."""

import multiprocessing
import os
import struct
import sys
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image
from torch.utils.data import DataLoader

from a2sg_zoo.datasets import CIFAR10DVS, SeededIndex, events
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.files import remove_leftovers

EVENTS = np.dtype([('t', '<u8'), ('x', '<u2'), ('y', '<u2'), ('p', '?')])
DESCRIPTION = b"""<dv version="2.0"><node name="outInfo"><node name="0">
<attr key="typeIdentifier" type="string">EVTS</attr><node name="info"><attr key="sizeX" type="int">128</attr>
<attr key="sizeY" type="int">128</attr></node></node></node></dv>"""


@cache
def _recording(n, seed):
    rng = np.random.default_rng(seed)
    data = np.zeros(n, EVENTS)
    data['t'] = np.sort(rng.integers(10**6, size=n))
    for name, top in (('x', 128), ('y', 128), ('p', 2)):
        data[name] = rng.integers(top, size=n)
    return data


def recording(n=500, seed=0):
    return _recording(n, seed).copy()


def packet(data):
    """An AEDAT 4 packet: stream, length, and a FlatBuffer with a vector of 16 bytes an event."""
    rows = np.zeros(len(data), [('t', '<i8'), ('x', '<i2'), ('y', '<i2'), ('p', '?'), ('padding', 'V3')])
    for name in EVENTS.names:
        rows[name] = data[name]
    body = struct.pack('<I4sHHHxxiII', 16, b'EVTS', 6, 8, 4, 8, 4, len(rows)) + rows.tobytes()
    return struct.pack('<III', 0, len(body) + 4, len(body)) + body


def header(end):
    """What comes before the packets; `end` is where they end, or -1 where the file does not say."""
    body = struct.pack('<I4sHHHHHxxiiqII', 20, b'IOHE', 10, 20, 4, 8, 16, 12, 0, end, 4, len(DESCRIPTION))
    body += DESCRIPTION + b'\0'
    return b'#!AER-DAT4.0\r\n' + struct.pack('<I', len(body)) + body


HEADER = len(header(-1))
CLASSES = ('airplane', 'automobile', 'bird', 'cat')


def aedat(data, table=True):
    """An AEDAT 4 file of packets of 200 events."""
    packets = b''.join(packet(data[i : i + 200]) for i in range(0, len(data), 200))
    return header(HEADER + len(packets) if table else -1) + packets


@pytest.fixture
def decoder():
    pytest.importorskip('tonic', reason='needs the extra a2sg-zoo[events]')
    pytest.importorskip('aedat', reason='needs the extra a2sg-zoo[events]')


@pytest.fixture
def root(tmp_path, monkeypatch, decoder):
    """The data set with four classes of ten recordings, numbered 0, 1, ... 7, 008, 10: not the order of the text."""
    monkeypatch.setattr(CIFAR10DVS, 'per_class', 10)
    monkeypatch.setattr(events, '_CLASSES', CLASSES)
    write(tmp_path)
    return tmp_path


def write(root):
    for label, name in enumerate(CLASSES):
        folder = root / 'CIFAR10DVS' / name
        folder.mkdir(parents=True)
        for i in (*range(8), '008', 10):
            (folder / f'cifar10_{name}_{i}.aedat4').write_bytes(aedat(recording(seed=100 * label + int(i))))


def counted(slices):
    """Frames by a loop over events."""
    frames = np.zeros((len(slices), 2, 128, 128), int)
    for frame, part in zip(frames, slices):
        for event in part:
            frame[int(event['p']), event['y'], event['x']] += 1
    return frames


def test_reads_what_was_written(tmp_path, decoder):
    for table in (True, False):
        (tmp_path / 'a.aedat4').write_bytes(aedat(recording(), table))
        read = events.read_events(tmp_path / 'a.aedat4')
        assert all(np.array_equal(read[name], recording()[name]) for name in EVENTS.names)


def test_frames_by_count(decoder):
    from tonic.transforms import ToFrame

    data = recording(503)
    frames = events.frames_of(data, T=5)
    assert frames.dtype == np.uint8 and np.array_equal(frames, counted([data[i : i + 100] for i in range(0, 500, 100)]))
    assert np.array_equal(frames, ToFrame((128, 128, 2), n_event_bins=5)(data))


def test_frames_by_time(decoder):
    from tonic.transforms import ToFrame

    data = recording(503)
    start, step = int(data['t'][0]), int(data['t'][-1] - data['t'][0]) // 4
    slices = [data[(data['t'] >= start + i * step) & (data['t'] < start + (i + 1) * step)] for i in range(4)]
    frames = events.frames_of(data, T=4, split_by='time')
    assert np.array_equal(frames, counted(slices))
    assert np.array_equal(frames, ToFrame((128, 128, 2), n_time_bins=4)(data))
    shuffled = np.random.default_rng(0).permutation(data)
    assert np.array_equal(frames, events.frames_of(shuffled, T=4, split_by='time'))


def test_frames_are_reduced_as_pillow_does_it(decoder):
    full = events.frames_of(recording(20_000), T=2)
    small = events.frames_of(recording(20_000), T=2, size=48)
    assert small.shape == (2, 2, 48, 48) and small.dtype == np.float16
    for a, b in zip(full.reshape(-1, 128, 128), small.reshape(-1, 48, 48)):
        pillow = Image.fromarray(a.astype(np.float32)).resize((48, 48), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(b, np.array(pillow), atol=1e-3)


def test_counts_saturate(decoder):
    data = recording(1000)
    data['x'], data['y'], data['p'] = 3, 7, True
    frames = events.frames_of(data, T=2)
    assert frames[:, 1, 7, 3].tolist() == [255, 255] and frames.sum() == 510


def test_split(root):
    train, test = CIFAR10DVS(root, T=4), CIFAR10DVS(root, train=False, T=4)
    assert (len(train), len(test)) == (36, 4) and train.metainfo == dict(classes=CLASSES, T=4)
    assert train.labels == [label for label in range(4) for _ in range(9)] and test.labels == [0, 1, 2, 3]
    for data, number, label, i in ((train, 2, 0, 2), (train, 8, 2, 26), (test, 10, 3, 3)):
        expected = counted(np.split(recording(seed=100 * label + number), 4))
        item = data[i]
        assert item['inputs'].dtype == torch.float32 and item['data_samples'] == label
        assert np.array_equal(item['inputs'], expected)


@pytest.mark.parametrize('workers', [0, 2])
def test_loader(root, workers):
    data = CIFAR10DVS(root, T=2, size=16, pipeline=[dict(type='BatchEventAugment')])
    order = [SeededIndex(i, i + 7) for i in (5, 30, 2, 31)]
    batches = list(DataLoader(data, 2, sampler=order, num_workers=workers, collate_fn=default_collate))
    assert [x['inputs'].shape for x in batches] == [(2, 2, 2, 16, 16)] * 2
    assert torch.cat([x['inputs'] for x in batches]).equal(torch.stack([data[i]['inputs'] for i in order]))


def test_events_are_counted_once(root, monkeypatch):
    first = CIFAR10DVS(root, T=2)[5]['inputs']
    CIFAR10DVS(root, T=2, size=16)
    CIFAR10DVS(root, T=2, split_by='time', cache_root=root / 'elsewhere')
    assert {x.name for x in (root / 'CIFAR10DVS' / 'frames').iterdir()} == {'count_T2_128x128', 'count_T2_16x16'}
    assert len(list((root / 'elsewhere' / 'time_T2_128x128').rglob('*.npz'))) == 36
    with monkeypatch.context() as patch:
        patch.setattr(events, 'read_events', lambda path: pytest.fail('read again'))
        assert CIFAR10DVS(root, T=2)[5]['inputs'].equal(first)
    path = next(root.rglob('cifar10_airplane_5.aedat4'))
    path.write_bytes(aedat(recording(700, seed=9)))
    assert np.array_equal(CIFAR10DVS(root, T=2)[5]['inputs'], counted(np.split(recording(700, seed=9), 2)))
    path.write_bytes(aedat(recording(700, seed=8)))  # of the same size
    assert np.array_equal(CIFAR10DVS(root, T=2)[5]['inputs'], counted(np.split(recording(700, seed=8), 2)))


@pytest.mark.parametrize(
    'spoil',
    [
        lambda data: b'',
        lambda data: data[: len(data) // 2],
        lambda data: b'x' + data[1:],
        lambda data: data[:200] + bytes(9) + data[209:],
        lambda data: pickled(),
        lambda data: zipped(other=np.zeros(3)),
        lambda data: zipped(frames=np.full((2, 2, 128, 128), np.nan, np.float16)),
    ],
    ids=['empty', 'half', 'first byte', 'middle', 'pickle', 'other array', 'nan'],
)
def test_damaged_cache_is_made_anew(root, spoil, logged):
    data = CIFAR10DVS(root, T=2)
    path = next(root.rglob('cifar10_bird_3.*.npz'))
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    assert np.array_equal(data[21]['inputs'], counted(np.split(recording(seed=203), 2)))
    assert len(logged) == 1 and str(path) in logged[0]
    assert np.array_equal(np.load(path)['frames'], data[21]['inputs']) and data[21] and len(logged) == 1


def zipped(**arrays):
    file = BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def pickled():
    return zipped(frames=np.array([dict(a=1)], dtype=object))


def _sum(root):
    CIFAR10DVS.per_class, events._CLASSES = 10, CLASSES
    data = CIFAR10DVS(root, T=2, size=16)
    return float(sum(x['inputs'].sum() for x in data.__getitems__(range(len(data)))))


@pytest.mark.slow
def test_processes_share_a_cache(root):
    with multiprocessing.get_context('spawn').Pool(2) as pool:
        first, second = pool.map(_sum, [root] * 2, chunksize=1)
    assert first == second == pytest.approx(36 * 500 / 64, rel=0.05)
    assert not list(root.rglob('*.writing'))


def test_no_space_for_the_cache(root, monkeypatch):
    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(DataError, match='airplane.*cache_root'):
        CIFAR10DVS(root, T=2)
    assert not list(root.rglob('*.npz*'))


def test_what_a_kill_leaves_of_a_cache_is_known_as_such(root, monkeypatch):
    def kill(*paths):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', kill)
        with pytest.raises(KeyboardInterrupt):
            CIFAR10DVS(root, T=2)
    (left,) = root.rglob('*.npz*')
    remove_leftovers(left.parent)
    assert not left.exists() and len(CIFAR10DVS(root, T=2)) == 36


CUTS = dict(
    empty=0,
    magic=9,
    length=16,
    header=HEADER // 2,
    description=HEADER - 1,
    nothing=HEADER,
    packet=HEADER + 6,
    event=HEADER + 8 + 32 + 16 * 50 + 7,
    last=-1,
)


@pytest.mark.parametrize('table', [True, False])
@pytest.mark.parametrize('cut', CUTS)
def test_recording_cut_short(root, cut, table, logged):
    victim = next(root.rglob('cifar10_cat_4.aedat4'))
    victim.write_bytes(aedat(recording(), table)[: CUTS[cut]])
    with pytest.raises(DataError, match=f'{victim}.*on_error'):
        CIFAR10DVS(root, T=2)
    for _ in range(2):
        data = CIFAR10DVS(root, T=2, on_error='skip')
        assert len(data) == 35 and data.labels.count(3) == 8
        assert np.array_equal(data[31]['inputs'], counted(np.split(recording(seed=305), 2)))
    assert len(logged) == 2 and all(str(victim) in text for text in logged)


def test_recording_cut_between_packets(root):
    """Where the file says how long it is."""
    victim = next(root.rglob('cifar10_cat_4.aedat4'))
    victim.write_bytes(aedat(recording())[: HEADER + len(packet(recording(200)))])
    with pytest.raises(DataError, match=str(victim)):
        CIFAR10DVS(root, T=2)


@pytest.mark.parametrize(
    'contents',
    [
        b'nothing of the kind' * 20,
        header(-1)[:18] + b'\xff' * (HEADER - 18),  # a panic of the decoder
        aedat(recording(3)),  # for 4 frames
        aedat(np.array([(i, 500, 3, True) for i in range(9)], EVENTS)),
    ],
    ids=['text', 'panic', 'few events', 'outside'],
)
def test_recording_of_something_else(root, contents, capfd):
    victim = next(root.rglob('cifar10_cat_4.aedat4'))
    victim.write_bytes(contents)
    with pytest.raises(DataError, match=f'{victim}'):
        CIFAR10DVS(root, T=4)


@pytest.mark.parametrize('split_by', ['count', 'time'])
def test_events_out_of_order_are_sorted(decoder, split_by):
    data = recording(503)
    data['t'] = np.arange(503) * 10  # no two at one time
    shuffled = np.random.default_rng(0).permutation(data)
    assert np.array_equal(events.frames_of(shuffled, 4, split_by), events.frames_of(data, 4, split_by))


@pytest.mark.parametrize(
    'change, key',
    [
        (lambda data: data[:0], 'events'),
        (lambda data: data[:3], '3 events'),
        (lambda data: with_value(data, 'x', 128), 'x = 128'),
        (lambda data: with_value(data, 'y', -1), 'y = -1'),
        (lambda data: with_value(data, 'p', 2), 'p = 2'),
        (lambda data: with_value(data, 't', 7, slice(None)), '0 microseconds'),
    ],
)
def test_events_that_cannot_be(change, key):
    data = recording(503).astype([(name, np.int64) for name in EVENTS.names])
    with pytest.raises(ValueError, match=key):
        events.frames_of(change(data), 4, 'time')


def with_value(data, name, value, place=250):
    data[name][place] = value
    return data


def test_missing(tmp_path, monkeypatch):
    monkeypatch.setenv('CIFAR10DVS_ROOT', str(tmp_path))
    with pytest.raises(DataError) as error:
        CIFAR10DVS()
    for part in (
        f'CIFAR10-DVS is not there: no recordings CLASS/*.aedat4 in {tmp_path / "CIFAR10DVS"}',
        f'a2sg-zoo download_dataset cifar10dvs --root {tmp_path}',
        'pip install "a2sg-zoo[events]"',
        'CIFAR10DVS_ROOT',
        'data_root=',
        '--demo',
    ):
        assert part in str(error.value)


def test_incomplete(root, logged):
    next(root.rglob('cifar10_cat_4.aedat4')).unlink()
    with pytest.raises(DataError, match=r'39 .*40 .*remove.*on_error'):
        CIFAR10DVS(root, T=2)
    data = CIFAR10DVS(root, T=2, on_error='skip')
    assert len(data) == 35 and '39' in logged[0] and '40' in logged[0]
    assert len(CIFAR10DVS(root, train=False, T=2, on_error='skip')) == 4


def test_files_that_macos_adds_are_no_recordings(tmp_path):
    for name in events._CLASSES:
        for folder, prefix in ((tmp_path / name, ''), (tmp_path / '__MACOSX' / name, '._'), (tmp_path / name, '._')):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f'{prefix}{name}_0.aedat4').touch()
    data = CIFAR10DVS.__new__(CIFAR10DVS)
    data.on_error, data.per_class = 'raise', 1
    assert [x.label for x in data.find(tmp_path, train=False)[0]] == [*range(10)]


def test_name_without_a_number(root):
    path = next(root.rglob('cifar10_cat_4.aedat4'))
    path.rename(path.with_name('a cat.aedat4'))
    with pytest.raises(DataError, match='a cat.aedat4'):
        CIFAR10DVS(root, T=2)


@pytest.mark.parametrize('module', ['tonic', 'aedat'])
def test_without_the_extra(root, module, monkeypatch):
    first = CIFAR10DVS(root, T=2)[7]['inputs']
    for name in [name for name in sys.modules if name.split('.')[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf'{module}.*a2sg-zoo\[events\]'):
        CIFAR10DVS(root, T=3)
    assert CIFAR10DVS(root, T=2)[7]['inputs'].equal(first)  # once there are frames, nobody needs it


@pytest.mark.parametrize(
    'key, value, message',
    [
        ('T', 0, 'T must be an integer >= 1, got 0'),
        ('T', 2.5, 'got 2.5'),
        ('size', 0, 'size must be an integer >= 1'),
        ('split_by', 'number', "split_by must be 'count' or 'time', got 'number'"),
        ('on_error', 'ignore', "on_error must be 'raise' or 'skip'"),
    ],
)
def test_mistakes(key, value, message):
    with pytest.raises(ConfigError, match=message):
        CIFAR10DVS(**{key: value})
