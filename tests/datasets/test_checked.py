"""A user's own data set: whatever it hands out, the error names the loader, the data set, the index and the file."""

import pickle
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from a2sg_zoo.datasets import Digits, SeededIndex
from a2sg_zoo.datasets.checked import CheckedDataset, checked_dataset
from a2sg_zoo.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]
PICTURE = torch.zeros(3, 8, 8, dtype=torch.uint8)


class Mine(Dataset):
    """Three items, of which item 1 is given; a subclass says where the files are."""

    def __init__(self, item=None, fails=None):
        self.item, self.fails = item, fails

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 1 and self.fails is not None:
            raise self.fails
        return self.item if index == 1 else dict(inputs=PICTURE, data_samples=0)


class WithSamples(Mine):
    samples = [('a.png', 0), ('b.png', 1), ('c.png', 2)]


class WithInfo(Mine):
    def get_data_info(self, index):
        return dict(img_path='abc'[index] + '.png')


class InBatches(WithSamples):
    def __getitems__(self, indices):
        return [self[i] for i in indices]


def mask(labels, **others):
    sample = SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=dict(img_path='b.png'))
    return dict(inputs=PICTURE, data_samples=sample, **others)


FULL = torch.zeros(1, 8, 8, dtype=torch.int64)
CLASSIFICATION = {
    'none': None,
    'tuple': (PICTURE, 1),
    'no label': dict(inputs=PICTURE),
    'no inputs': dict(data_samples=1),
    'label beyond': dict(inputs=PICTURE, data_samples=3),
    'label below': dict(inputs=PICTURE, data_samples=-1),
    'label of a tensor beyond': dict(inputs=PICTURE, data_samples=torch.tensor(3)),
    'float': dict(inputs=PICTURE, data_samples=1.0),
    'float tensor': dict(inputs=PICTURE, data_samples=torch.tensor(1.0)),
    'numpy float': dict(inputs=PICTURE, data_samples=np.float32(1)),
    'bool': dict(inputs=PICTURE, data_samples=True),
    'text': dict(inputs=PICTURE, data_samples='cat'),
    'list': dict(inputs=PICTURE, data_samples=[1]),
    'vector': dict(inputs=PICTURE, data_samples=torch.tensor([1])),
    'no label at all': dict(inputs=PICTURE, data_samples=None),
    'PIL image': dict(inputs=Image.new('RGB', (8, 8)), data_samples=1),
    'inputs none': dict(inputs=None, data_samples=1),
    'no channels': dict(inputs=PICTURE[0], data_samples=1),
    'empty': dict(inputs=PICTURE[:, :0], data_samples=1),
    'nan': dict(inputs=PICTURE / 0.0, data_samples=1),
    'infinity': dict(inputs=(PICTURE + 1) / 0.0, data_samples=1),
    'in 0..1': dict(inputs=torch.full((3, 8, 8), 0.5), data_samples=1),
    'other size': dict(inputs=torch.zeros(3, 8, 9), data_samples=1),
    'other channels': dict(inputs=torch.zeros(1, 8, 8), data_samples=1),
}
SEGMENTATION = {
    'no sample': dict(inputs=PICTURE, data_samples=1),
    'no mask': dict(inputs=PICTURE, data_samples=SegDataSample()),
    'float': mask(FULL.float()),
    'bool': mask(FULL.bool()),
    'beyond': mask(FULL + 3),
    'below': mask(FULL - 1),
    'other ignored': mask(FULL + 254),
    'other size': mask(FULL[:, :4]),
}
SETTINGS = dict(num_classes=3, training=True, scale=128.0, same_size=True)


@pytest.mark.parametrize('kind', [WithSamples, WithInfo, InBatches])
@pytest.mark.parametrize('fault', CLASSIFICATION)
def test_items_of_a_classification(kind, fault):
    data = CheckedDataset(kind(CLASSIFICATION[fault]), 'train_dataloader', 'classification', **SETTINGS)
    with pytest.raises(DataError) as error:
        next(iter(DataLoader(data, batch_size=3, collate_fn=default_collate)))
    assert_names_the_place(str(error.value), kind)


@pytest.mark.parametrize('fault', SEGMENTATION)
def test_items_of_a_segmentation(fault):
    data = CheckedDataset(WithSamples(SEGMENTATION[fault]), 'train_dataloader', 'segmentation', **SETTINGS)
    with pytest.raises(DataError) as error:
        data[1]
    assert_names_the_place(str(error.value), WithSamples)


def assert_names_the_place(text, kind):
    assert all(part in text for part in ('train_dataloader', kind.__name__, 'item 1 ', 'b.png')), text
    assert len(text.splitlines()) == 1


class Odd(Exception):
    def __init__(self, one, two):
        super().__init__('two lines\nof \x1b[2J text')


FAILS = ValueError('no'), KeyError('x'), Odd(1, 2), OSError(2, 'gone', 'x.png'), AssertionError()


@pytest.mark.parametrize(
    'fails, workers', [*((fails, 0) for fails in FAILS), *((fails, 1) for fails in FAILS if isinstance(fails, Odd))]
)
@pytest.mark.parametrize('kind', [WithSamples, InBatches])
def test_exceptions(fails, workers, kind):
    data = CheckedDataset(kind(fails=fails), 'val_dataloader', 'classification')
    loader = DataLoader(data, 3, num_workers=workers, **(dict(multiprocessing_context='fork') if workers else {}))
    with pytest.raises(DataError) as error:
        list(loader)
    text = str(error.value).rsplit('DataError: ', 1)[-1].strip()  # a worker wraps it in its traceback
    file = 'x.png' if isinstance(fails, OSError) else 'b.png'
    assert all(part in text for part in ('val_dataloader', kind.__name__, 'item 1 ', file, type(fails).__name__))
    assert len(text.splitlines()) == 1 and '\x1b' not in text


@pytest.mark.parametrize('error', [MemoryError(), KeyboardInterrupt(), DataError('one of ours')])
def test_what_is_no_fault_of_the_data_passes(error):
    with pytest.raises(type(error)) as raised:
        CheckedDataset(Mine(fails=error))[1]
    assert raised.value is error


def test_sound_items_pass():
    good = [
        dict(inputs=PICTURE, data_samples=2),
        dict(inputs=PICTURE.numpy(), data_samples=np.int32(2)),
        dict(inputs=PICTURE.float(), data_samples=torch.tensor(2, dtype=torch.uint8)),
        dict(inputs=torch.zeros(4, 2, 8, 8), data_samples=np.array(2)),
        dict(inputs=torch.zeros(64, 1), data_samples=2),
    ]
    for item in good:
        found = CheckedDataset(Mine(item), 'x', 'classification', **{**SETTINGS, 'same_size': False})[1]
        assert type(found['data_samples']) is int and found['data_samples'] == 2 and found['inputs'] is item['inputs']
    shares = dict(inputs=PICTURE, data_samples=torch.tensor([0.1, 0.2, 0.7]))
    assert CheckedDataset(Mine(shares), 'x', 'classification', **SETTINGS)[1]['data_samples'] is shares['data_samples']
    for item in (mask(FULL + 2), mask(torch.where(FULL == 0, 255, 0)), mask(FULL.byte() + 255)):
        assert CheckedDataset(Mine(item), 'x', 'segmentation', **SETTINGS)[1] is item
    whole = dict(inputs=PICTURE, data_samples=SegDataSample())
    assert CheckedDataset(Mine(whole), 'x', 'segmentation', num_classes=3)[1] is whole
    assert CheckedDataset(Mine(dict(x=1)), 'x')[1] == dict(x=1)


@given(st.integers(-300, 300), st.integers(1, 260))
def test_labels_are_within_the_classes_or_refused(label, classes):
    data = CheckedDataset(Mine(dict(inputs=PICTURE, data_samples=label)), 'x', 'classification', num_classes=classes)
    pixel = mask(torch.where(torch.arange(64).view(1, 8, 8) == 9, label, 0))
    masks = CheckedDataset(Mine(pixel), 'x', 'segmentation', num_classes=classes)
    if 0 <= label < classes:
        assert data[1]['data_samples'] == label and masks[1] is pixel
        return
    with pytest.raises(DataError, match=rf'item 1 .* {re.escape(str(label))}\b'):
        data[1]
    if label == 255:
        assert masks[1] is pixel
    else:
        with pytest.raises(DataError, match=rf'item 1 .* {re.escape(str(label))}\b'):
            masks[1]


def test_batches_of_one_size_for_those_that_need_it():
    item = dict(inputs=torch.zeros(3, 8, 9), data_samples=1)
    loose = CheckedDataset(Mine(item), 'x', 'classification', num_classes=3)
    assert len(next(iter(DataLoader(loose, 3, collate_fn=pseudo_collate)))['inputs']) == 3


def test_it_is_the_data_set_otherwise():
    data = Digits(size=8, pipeline=[dict(type='BatchCrop', padding=1)])
    checked = CheckedDataset(data, 'train_dataloader', 'classification', num_classes=10)
    assert len(checked) == len(data) and checked.metainfo == data.metainfo and checked.labels is data.labels
    indices = [SeededIndex(i, i + 7) for i in (5, 3, 900)]
    for a, b in zip(checked.__getitems__(indices), data.__getitems__(indices)):
        assert a['inputs'].equal(b['inputs']) and a['data_samples'] == b['data_samples']
    with pytest.raises(AttributeError, match='nonsense'):
        checked.nonsense  # noqa: B018
    again = pickle.loads(pickle.dumps(checked))  # on the way to a worker
    assert again.name == checked.name and again[3]['data_samples'] == data.labels[3]


class Drawn(Mine):
    def __getitem__(self, index):
        return dict(inputs=torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()]))


class DrawnTogether(Drawn):
    def __getitems__(self, indices):
        return [self[i] for i in indices]


@pytest.mark.parametrize(
    'data',
    [
        Drawn(),
        DrawnTogether(),
        Subset(Drawn(), [2, 1, 0]),
        ConcatDataset([Drawn(), Drawn()]),
        Subset(Digits(size=8, pipeline=[dict(type='BatchCrop', padding=3)]), range(100)),
    ],
    ids=['items', 'batches', 'subset', 'concatenation', 'subset of batches'],
)
def test_a_data_set_that_knows_no_seeds_is_drawn_again_the_same_after_a_resume(data):
    checked, indices = CheckedDataset(data), [SeededIndex(i, i + 7) for i in (0, len(data) - 1)]
    before = torch.get_rng_state()
    first, again = (checked.__getitems__(indices) for _ in range(2))
    assert all(a['inputs'].equal(b['inputs']) for a, b in zip(first, again))
    assert not first[0]['inputs'].equal(first[1]['inputs'])
    others = checked.__getitems__([SeededIndex(i, i + 8) for i in indices])
    assert not any(a['inputs'].equal(b['inputs']) for a, b in zip(first, others))
    assert torch.get_rng_state().equal(before)
    assert not checked[0]['inputs'].equal(checked[0]['inputs'])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


class Empty(Mine):
    def __len__(self):
        return 0


class NoLength:
    def __getitem__(self, index):
        return index


class Lazy(Mine):
    ready = False

    def full_init(self):
        self.ready = True


def test_building():
    built = checked_dataset(dict(type='Digits', size=8), 'test_dataloader', task='classification', num_classes=10)
    assert isinstance(built, CheckedDataset) and isinstance(built.dataset, Digits)
    assert checked_dataset(Lazy()).ready and type(checked_dataset(Stream())) is Stream
    for empty in (Empty(), NoLength(), Digits):
        with pytest.raises(
            DataError, match=f'test_dataloader.*{getattr(empty, "__name__", type(empty).__name__)}|type'
        ):
            checked_dataset(empty, 'test_dataloader')
    with pytest.raises(DataError, match='test_dataloader.*Digits.*size'):
        checked_dataset(dict(type='Digits', size='large'), 'test_dataloader')
    with pytest.raises(ConfigError, match='ImageFolder'):
        checked_dataset(dict(type='ImageFolder', data_root='x', on_error='no'), 'test_dataloader')


@pytest.mark.slow
def test_one_line_reaches_the_user_of_a_command(tmp_path):
    """A data set of the user's own in a config, trained as a user trains."""
    (tmp_path / 'mine.py').write_text("""
import torch
from a2sg_zoo.registry import DATASETS

@DATASETS.register_module()
class Mine(torch.utils.data.Dataset):
    samples = [f'picture{i}.png' for i in range(40)]
    def __init__(self, train=True): self.train = train
    def __len__(self): return 40
    def __getitem__(self, i):
        if i == 33 and self.train:
            raise RuntimeError('out of luck')
        return dict(inputs=torch.zeros(3, 8, 8), data_samples=i % 10)
""")
    (tmp_path / 'config.py').write_text(f"""
_base_ = {str(ROOT / 'configs' / 'resnet' / 'resnet_small_digits.py')!r}
custom_imports = dict(imports=['mine'])
train_dataloader = dict(batch_size=40, num_workers=1, dataset=dict(_delete_=True, type='Mine'))
val_dataloader = dict(num_workers=1, dataset=dict(_delete_=True, type='Mine', train=False))
""")
    done = subprocess.run(
        [sys.executable, '-m', 'a2sg_zoo.cli.train', 'config.py', '--work-dir', 'run'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={'PYTHONPATH': f'{ROOT}:{tmp_path}', 'PATH': '/usr/bin:/bin', 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 2 and 'Traceback' not in done.stderr, done.stderr[-2000:]
    (line,) = (line for line in done.stderr.splitlines() if line.startswith('error: '))
    assert all(part in line for part in ('train_dataloader', 'Mine', 'item 33', 'picture33.png', 'out of luck'))
