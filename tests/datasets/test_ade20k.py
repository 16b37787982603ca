import re
import zipfile

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from PIL import Image
from torch.utils.data import DataLoader

from a2sg_zoo.datasets import ADE20K, SeededIndex, write_scenes
from a2sg_zoo.errors import ConfigError, DataError
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
    for part in (str(small), 'ade20k', 'ADE20K_ROOT', 'data_root=', '--demo'):
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
    fails(small, r'annotations/training/scene_00000000\.png')
    for path in (small / 'annotations' / 'training').iterdir():
        path.unlink()
    fails(small, r'4 .*scene_00000002\.png')


def test_list_of_names_is_checked_too(small):
    (small / 'train.txt').write_text('scene_00000001\nscene_0000000x\n')
    fails(small, 'scene_0000000x.jpg', ann_file='train.txt')


@pytest.mark.parametrize('what', ['images', 'annotations'])
@pytest.mark.parametrize('keep', [0, 1, 10, 0.3, 0.7, -2])
def test_truncated_files(real, what, keep):
    path = first(real, what)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    fails(real, re.escape(str(path)))


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
    fails(small, 'scene_00000000.png')


def test_size_of_annotation(small):
    Image.fromarray(np.ones((64, 48), np.uint8)).save(first(small, 'annotations'))
    fails(small, r'scene_00000000\.png.* 48 x 64.*scene_00000000\.jpg.* 64 x 64')


def test_annotation_may_be_loaded_after_the_image_was_resized(small):
    pipeline = [LOAD[0], dict(type='Resize', scale=(32, 32)), LOAD[1]]
    item = build(small, pipeline=pipeline)[0]
    assert item['img'].shape == (32, 32, 3) and item['gt_seg_map'].shape == (64, 64)


@pytest.mark.parametrize(
    'zero,values,named',
    [(True, [3, 151, 200], r'151, 200.* 1\.\.150'), (True, [254], '254'), (False, [150, 0, 149], r'150.* 0\.\.149')],
)
def test_labels_beyond_the_classes(small, zero, values, named):
    labels = np.zeros((64, 64), np.uint8)
    labels[0, : len(values)] = values
    Image.fromarray(labels).save(first(small, 'annotations'))
    fails(small, rf'scene_00000000\.png.* {named}', reduce_zero_label=zero)


def test_a_data_set_that_does_not_say_its_classes(small):
    load = TRANSFORMS.build(dict(type='LoadSegAnnotations'))
    path = first(small, 'annotations')
    sample = dict(seg_map_path=path, img_path=first(small, 'images'), reduce_zero_label=False, seg_fields=[])
    labels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(labels.astype(np.uint8)).save(path)
    assert (load(dict(sample))['gt_seg_map'] == labels).all()
    assert (load(dict(sample, reduce_zero_label=True))['gt_seg_map'].ravel() == [255, *range(254), 255]).all()
    Image.fromarray(labels + 1).save(path)
    with pytest.raises(DataError, match='256'):
        load(dict(sample))


def test_annotation_in_colours(small):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(first(small, 'annotations'))
    fails(small, 'scene_00000000.png.* RGB')


def test_annotation_of_16_bits(small):
    labels = (np.arange(64 * 64).reshape(64, 64) % 151).astype(np.uint16)
    Image.fromarray(labels).save(first(small, 'annotations'))
    assert (build(small)[0]['gt_seg_map'] == np.where(labels == 0, 255, labels - 1)).all()
    labels[0, 0] = 1003
    Image.fromarray(labels).save(first(small, 'annotations'))
    fails(small, r'scene_00000000\.png.* 1003')


def test_file_that_goes_away_later(small):
    dataset = build(small)
    path = first(small, 'images')
    path.unlink()
    with pytest.raises(DataError, match=str(path)):
        dataset[0]


def loses(path):
    path.unlink()


def points_nowhere(path):
    path.unlink()
    path.symlink_to('nowhere.jpg')


def points_to_itself(path):
    path.unlink()
    path.symlink_to(path)


def becomes_a_folder(path):
    path.unlink()
    path.mkdir()


def gets_another_suffix(path):
    path.rename(path.with_suffix('.JPEG'))


@pytest.mark.parametrize('split', ['training', 'validation'])
@pytest.mark.parametrize('what', ['images', 'annotations'])
@pytest.mark.parametrize('happens', [loses, points_nowhere, points_to_itself, becomes_a_folder, gets_another_suffix])
def test_a_file_without_its_partner(small, split, what, happens):
    path = next(p for p in sorted((small / what / split).iterdir()))
    if happens is gets_another_suffix and what == 'annotations':
        path.rename(path.with_suffix('.tif'))
    else:
        happens(path)
    fails(small, re.escape(str(path)), split=split)


def test_masks_without_any_class(small):
    for path in (small / 'annotations' / 'training').iterdir():
        Image.fromarray(np.full((64, 64), 255 if path.stem.endswith('0') else 0, np.uint8)).save(path)
    fails(small, str(small / 'annotations' / 'training'))
    labels = np.zeros((64, 64), np.uint8)
    labels[5, 5] = 3
    Image.fromarray(labels).save(path)
    assert len(build(small)) == 4
    fails(small, str(small / 'annotations' / 'training'), metainfo=dict(classes=('wall',)))
    assert len(build(small, reduce_zero_label=False)) == 4


def test_unknown_classes_are_named(small):
    for classes in (('sky', 'plane'), ('sky', 'sky')):
        with pytest.raises(ConfigError, match=classes[1]):
            build(small, metainfo=dict(classes=classes))


def test_255_cannot_be_a_class(small):
    with pytest.raises(ConfigError, match='num_classes'):
        build(small, pipeline=[LOAD[0], dict(LOAD[1], num_classes=255)])[0]


def turn(path, orientation):
    """Stores an image in another orientation, so that it is shown as before."""
    exif = Image.Exif()
    exif[274] = orientation
    undo = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    Image.open(path).transpose(undo[orientation]).save(path, exif=exif, quality=100)


@pytest.mark.parametrize('orientation', [3, 6, 8])
def test_exif_orientation(small, orientation, logged):
    path, mask = first(small, 'images'), first(small, 'annotations')
    Image.open(path).crop((0, 0, 64, 40)).save(path, quality=100)
    Image.open(mask).crop((0, 0, 64, 40)).save(mask)
    before = build(small)[0]
    assert not logged
    turn(path, orientation)
    item = build(small)[0]
    assert np.abs(item['img'].astype(int) - before['img']).max() < 32
    assert (item['gt_seg_map'] == before['gt_seg_map']).all()
    assert len(logged) == 1 and str(path) in logged[0] and 'EXIF' in logged[0]
    if orientation != 3:  # by the size alone, a mask upside down cannot be told
        Image.open(mask).transpose(Image.Transpose.ROTATE_90).save(mask)
        fails(small, rf'scene_00000000\.png.*EXIF orientation {orientation}')


@pytest.mark.parametrize('workers', [0, 1])
def test_errors_reach_the_caller_of_a_loader(small, workers):
    first(small, 'images').write_bytes(b'')
    kwargs = dict(multiprocessing_context='fork') if workers else {}
    loader = DataLoader(build(small, indices=1), batch_size=1, num_workers=workers, collate_fn=pseudo_collate, **kwargs)
    with pytest.raises(DataError, match='scene_00000000.jpg'):
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
