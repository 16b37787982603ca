"""Cityscapes, Pascal VOC 2012 and Pascal Context in the layouts in which they are distributed."""

import numpy as np
import pytest
from PIL import Image

from a2sg_zoo.datasets import Cityscapes, PascalContext59, PascalVOC2012
from a2sg_zoo.errors import DataError
from a2sg_zoo.registry import DATASETS

LOAD = [dict(type='LoadImage'), dict(type='LoadSegAnnotations')]
LABELS = np.arange(24, dtype=np.uint8).reshape(4, 6) % 19
LABELS[0, 0] = 255


def write(path, array, palette=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    if palette:
        image = image.convert('P')
        image.putdata(array.flatten().tolist())
        image.putpalette([i % 256 for i in range(768)])
    image.save(path)


def picture(path):
    write(path, np.full((4, 6, 3), 90, np.uint8))


def build(kind, root, images, masks, **kwargs):
    prefix = dict(img_path=images, seg_map_path=masks)
    return DATASETS.build(dict(type=kind, data_root=str(root), data_prefix=prefix, pipeline=LOAD, **kwargs))


def test_cityscapes(tmp_path):
    for city in ('aachen', 'bonn'):
        picture(tmp_path / f'leftImg8bit/train/{city}/{city}_000000_leftImg8bit.png')
        write(tmp_path / f'gtFine/train/{city}/{city}_000000_gtFine_labelTrainIds.png', LABELS)
        write(tmp_path / f'gtFine/train/{city}/{city}_000000_gtFine_labelIds.png', LABELS)
    dataset = build('Cityscapes', tmp_path, 'leftImg8bit/train', 'gtFine/train')
    assert isinstance(dataset, Cityscapes) and len(dataset) == 2 and len(dataset.metainfo['classes']) == 19
    assert (dataset[1]['gt_seg_map'] == LABELS).all()
    write(tmp_path / 'gtFine/train/bonn/bonn_000000_gtFine_labelTrainIds.png', LABELS + np.uint8(5))
    with pytest.raises(DataError, match='bonn_000000_gtFine_labelTrainIds.png.* 19'):
        dataset[1]


@pytest.mark.parametrize(
    'kind, masks, lists, classes, shift',
    [
        ('PascalVOC2012', 'SegmentationClass', 'Segmentation', 21, 0),
        ('PascalContext59', 'SegmentationClassContext', 'SegmentationContext', 59, 1),
    ],
)
def test_pascal(tmp_path, kind, masks, lists, classes, shift):
    for name in ('2007_000001', '2007_000002', '2007_000003'):
        picture(tmp_path / f'JPEGImages/{name}.jpg')
    for name in ('2007_000001', '2007_000002'):
        write(tmp_path / f'{masks}/{name}.png', LABELS, palette=True)
    names = tmp_path / f'ImageSets/{lists}/train.txt'
    names.parent.mkdir(parents=True)
    names.write_text('2007_000002\n2007_000001\n')
    dataset = build(kind, tmp_path, 'JPEGImages', masks, ann_file=f'ImageSets/{lists}/train.txt')
    assert isinstance(dataset, (PascalVOC2012, PascalContext59)) and len(dataset.metainfo['classes']) == classes
    assert [item['img_path'][-5] for item in dataset] == ['2', '1']
    expected = LABELS.astype(int) - shift
    assert (dataset[0]['gt_seg_map'] == np.where((LABELS == 255) | (expected < 0), 255, expected)).all()
    with pytest.raises(DataError, match=f'{masks}.2007_000003.png(.|\n)*ann_file=ImageSets/{lists}'):
        build(kind, tmp_path, 'JPEGImages', masks)
    with pytest.raises(DataError, match=r'ann_file.*trainval\.txt'):
        build(kind, tmp_path, 'JPEGImages', masks, ann_file=f'ImageSets/{lists}/trainval.txt')
    names.write_text('2007_000003\n')
    with pytest.raises(DataError, match=f'{masks}.2007_000003.png'):
        build(kind, tmp_path, 'JPEGImages', masks, ann_file=f'ImageSets/{lists}/train.txt')
    (tmp_path / 'JPEGImages/2007_000003.jpg').unlink()
    assert len(build(kind, tmp_path, 'JPEGImages', masks)) == 2


@pytest.mark.parametrize('kind', ['Cityscapes', 'PascalVOC2012', 'PascalContext59'])
def test_missing_data_say_how_to_get_them(tmp_path, kind):
    with pytest.raises(DataError, match='data_root'):
        build(kind, tmp_path / 'none', 'images', 'masks')
