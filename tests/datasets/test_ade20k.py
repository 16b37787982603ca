import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader

import a2sg_zoo.datasets.ade20k as module
from a2sg_zoo.datasets import ADE20K, SeededIndex, write_scenes
from a2sg_zoo.errors import DataError
from a2sg_zoo.registry import DATASETS, TRANSFORMS

LOAD = [dict(type='LoadImage'), dict(type='LoadSegAnnotations')]
TRAIN = [
    *LOAD,
    dict(type='RandomResize', scale=(96, 64), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]


def build(root, split='training', pipeline=LOAD, **kwargs):
    return DATASETS.build(
        dict(
            type='ADE20K',
            data_root=root and str(root),
            pipeline=pipeline,
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'),
            **kwargs,
        )
    )


@pytest.fixture
def small(tmp_path):
    """A drawn set of 4 + 1 images."""
    return write_scenes(tmp_path / 'small', train=4, val=1, size=64)


@pytest.fixture
def real(shared, tmp_path):
    with zipfile.ZipFile(shared('data', 'ade20k_sample.zip')) as file:
        file.extractall(tmp_path)
    return tmp_path / 'ADEChallengeData2016'


@pytest.fixture
def camvid(shared, tmp_path):
    with zipfile.ZipFile(shared('data', 'camvid_as_ade20k.zip')) as file:
        file.extractall(tmp_path, [name for name in file.namelist() if '/validation/' in name][:20])
    return tmp_path / 'camvid_as_ade20k'


def first(root, what):
    return next(p for p in sorted((root / what / 'training').iterdir()))


def fails(root, pattern, **kwargs):
    with pytest.raises(DataError) as error:
        build(root, **kwargs)[0]
    assert re.search(pattern, str(error.value)), error.value


def test_real_files(real):
    for split, count in (('training', 2), ('validation', 1)):
        dataset = build(real, split)
        assert isinstance(dataset, ADE20K) and len(dataset) == count
        for item in dataset:
            raw = np.asarray(Image.open(item['seg_map_path'])).astype(int)
            assert item['gt_seg_map'].dtype == np.uint8 and 0 < raw.max() <= 150
            assert (item['gt_seg_map'] == np.where(raw == 0, 255, raw - 1)).all()
            assert item['img'].dtype == np.uint8
            assert (item['img'] == cv2.imread(item['img_path'])).all()
            assert (item['img'][..., ::-1] == np.asarray(Image.open(item['img_path']).convert('RGB'))).all()
    assert len(dataset.metainfo['classes']) == 150


def test_converted_camvid(camvid):
    dataset = build(camvid, 'validation')
    assert len(dataset) > 0
    occurring = set(np.concatenate([np.unique(item['gt_seg_map']) for item in dataset]).tolist())
    assert {1, 2, 6, 20} < occurring and occurring <= {2, 1, 93, 6, 11, 4, 43, 32, 20, 12, 127, 255}


@pytest.mark.parametrize('mode', ['P', 'L'])
def test_indices_are_read_not_the_palette(small, mode):
    path = first(small, 'annotations')
    labels = np.arange(64 * 64).reshape(64, 64) % 151
    labels[0, 0] = 255
    image = Image.fromarray(labels.astype(np.uint8))
    if mode == 'P':
        image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(path)
    assert Image.open(path).mode == mode
    expected = np.where(labels == 0, 255, labels - 1)
    expected[0, 0] = 255
    assert (build(small)[0]['gt_seg_map'] == expected).all()


def test_subset_of_the_classes(small):
    item = build(small, metainfo=dict(classes=('sky', 'building')))[0]
    raw = np.asarray(Image.open(item['seg_map_path']))
    assert (item['gt_seg_map'] == np.select([raw == 3, raw == 2], [0, 1], 255)).all()


@pytest.mark.parametrize(
    'break_it',
    [
        lambda root: root.rename(root.with_name('elsewhere')),
        lambda root: (root / 'annotations' / 'training').rename(root / 'x'),
        lambda root: [p.unlink() for p in (root / 'images' / 'training').iterdir()],
    ],
)
def test_missing_data_says_where_and_how(small, break_it, monkeypatch):
    monkeypatch.chdir(small.parent)
    break_it(small)
    with pytest.raises(DataError) as error:
        build('small')
    for part in (str(small), 'tools/download_dataset.py ade20k', 'ADE20K_ROOT', '--cfg-options data_root=', '--demo'):
        assert part in str(error.value)


def test_environment_names_the_root(small, monkeypatch):
    monkeypatch.setenv('ADE20K_ROOT', str(small))
    assert len(build(None)) == 4
    monkeypatch.delenv('ADE20K_ROOT')
    monkeypatch.chdir(small)
    with pytest.raises(DataError, match='data/ade/ADEChallengeData2016/images/training'):
        build(None)


def test_missing_annotations_are_named_at_construction(small):
    first(small, 'annotations').unlink()
    fails(small, r'1 of 4 annotation files.*annotations/training/scene_00000000\.png')
    for path in (small / 'annotations' / 'training').iterdir():
        path.unlink()
    fails(small, r'4 of 4 annotation files.*scene_00000002\.png, \.\.\.')


def test_list_of_names_is_checked_too(small):
    (small / 'train.txt').write_text('scene_00000001\nscene_0000000x\n')
    fails(small, '1 of 2 image files.*scene_0000000x.jpg', ann_file='train.txt')


@pytest.mark.parametrize('what', ['images', 'annotations'])
@pytest.mark.parametrize('keep', [0, 1, 10, 0.3, 0.7, -2])
def test_truncated_files(real, what, keep):
    path = first(real, what)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    fails(real, f'{re.escape(str(path))} is damaged')


def test_truncated_image_is_found_even_if_opencv_fills_it_up(small, monkeypatch):
    path = first(small, 'images')
    path.write_bytes(path.read_bytes()[:-200])
    monkeypatch.setattr(module.mmcv, 'imfrombytes', lambda *args, **kwargs: np.zeros((64, 64, 3), np.uint8))
    fails(small, 'is damaged')


def test_bytes_after_the_end_are_harmless(small):
    for what in ('images', 'annotations'):
        path = first(small, what)
        path.write_bytes(path.read_bytes() + b'\0' * 7)
    assert build(small)[0]['img'].shape == (64, 64, 3)


def test_damaged_annotation(small):
    path = first(small, 'annotations')
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20] = b'\0' * 20
    path.write_bytes(data)
    fails(small, 'scene_00000000.png is damaged')


def test_size_of_annotation(small):
    Image.fromarray(np.ones((64, 48), np.uint8)).save(first(small, 'annotations'))
    fails(small, r'scene_00000000\.png is 48 x 64.*scene_00000000\.jpg is 64 x 64')


def test_annotation_may_be_loaded_after_the_image_was_resized(small):
    pipeline = [LOAD[0], dict(type='Resize', scale=(32, 32)), LOAD[1]]
    item = build(small, pipeline=pipeline)[0]
    assert item['img'].shape == (32, 32, 3) and item['gt_seg_map'].shape == (64, 64)


@pytest.mark.parametrize(
    'zero,values,named',
    [
        (True, [3, 151, 200], '151, 200; the 150 classes are 1..150'),
        (True, [254], '254'),
        (False, [150, 0, 149], '150; the 150 classes are 0..149'),
    ],
)
def test_labels_beyond_the_classes(small, zero, values, named):
    labels = np.zeros((64, 64), np.uint8)
    labels[0, : len(values)] = values
    Image.fromarray(labels).save(first(small, 'annotations'))
    fails(small, rf'scene_00000000\.png holds the label {re.escape(named)}', reduce_zero_label=zero)


@pytest.mark.parametrize('array', [np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint16)])
def test_annotation_of_other_pixels(small, array):
    Image.fromarray(array).save(first(small, 'annotations'))
    fails(small, 'scene_00000000.png has pixels of mode')


def test_file_that_goes_away_later(small):
    dataset = build(small)
    path = first(small, 'images')
    path.unlink()
    with pytest.raises(DataError, match=f'{path} cannot be read: No such file'):
        dataset[0]


@pytest.mark.parametrize('workers', [0, 1])
def test_errors_reach_the_caller_of_a_loader(small, workers):
    first(small, 'images').write_bytes(b'')
    kwargs = dict(multiprocessing_context='fork') if workers else {}
    loader = DataLoader(build(small, indices=1), batch_size=1, num_workers=workers, collate_fn=pseudo_collate, **kwargs)
    with pytest.raises(DataError, match='scene_00000000.jpg is damaged'):
        list(loader)


def test_seeded_items_are_reproducible(small):
    dataset = build(small, pipeline=TRAIN)
    order = [SeededIndex(i, 10 + i) for i in range(4)]
    kwargs = dict(multiprocessing_context='fork')
    a, b = (
        [
            item['inputs']
            for item in DataLoader(dataset, None, sampler=order, num_workers=workers, **(kwargs if workers else {}))
        ]
        for workers in (0, 2)
    )
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not torch.equal(dataset[SeededIndex(0, 11)]['inputs'], a[0])


def test_registered():
    assert DATASETS.module_dict['ADE20K'] is ADE20K
    assert {'LoadImage', 'LoadSegAnnotations'} <= set(TRANSFORMS.module_dict)
    assert Path(module.__file__).name == 'ade20k.py'
