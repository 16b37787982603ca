"""What an inferencer writes: pictures, and a file of results."""

import numpy as np
import pytest
from PIL import Image

from a2sg_zoo.apis.inference import ImageClassifierInferencer, SegmentationInferencer
from a2sg_zoo.errors import ConfigError, DataError
from tests.apis.pictures import CLASSES_OF, photo, task
from tests.hub.tiny import PALETTE


@task('classification')
def test_pictures_of_classes(weights, folder, tmp_path):
    again = tmp_path / 'elsewhere' / '0.png'
    again.parent.mkdir()
    again.write_bytes((folder / '1.png').read_bytes())
    found = ImageClassifierInferencer('tiny', 'cpu')([folder, again, photo()], out_dir=tmp_path / 'out' / 'deep')
    assert [path.name for path in found['visualization']] == ['0.png', '1.png', '2.png', '0_2.png', 'image.png']
    sheet = np.asarray(Image.open(found['visualization'][0]))
    assert sheet.shape == (256 + 24, 256, 3) and sheet[256:].min() < 128
    assert np.array_equal(sheet[:256:8, ::8], np.asarray(Image.open(folder / '0.png')))
    assert 'picture' not in found['predictions'][0]


@task('segmentation')
def test_pictures_of_masks(weights, folder, tmp_path):
    found = SegmentationInferencer('tiny', 'cpu')(folder, out_dir=tmp_path / 'out')
    for prediction, path in zip(found['predictions'], found['visualization']):
        mask = Image.open(path.with_name(f'{path.stem}_mask.png'))
        assert np.array_equal(np.asarray(mask), prediction['mask']) and mask.getpalette()[:9] == sum(PALETTE, [])
        image = np.asarray(Image.open(prediction['input']))
        tinted = 0.4 * image + 0.6 * np.array(PALETTE)[prediction['mask']]
        assert np.abs(np.asarray(Image.open(path)) - tinted).max() <= 1


@task('segmentation')
def test_results_do_not_overwrite_each_other(weights, tmp_path):
    for i, name in enumerate(['a.png', 'a_mask.png', 'a#1.png']):
        Image.fromarray(photo(i)).save(tmp_path / name)
    found = SegmentationInferencer('tiny', 'cpu')(tmp_path, out_dir=tmp_path / 'out')
    assert [path.name for path in found['visualization']] == ['a#1.png', 'a.png', 'a_mask_2.png']
    for prediction, path in zip(found['predictions'], found['visualization']):
        mask = np.asarray(Image.open(path.with_name(f'{path.stem}_mask.png')))
        assert np.array_equal(mask, prediction['mask'])


@task('classification', 'segmentation')
def test_results_do_not_overwrite_pictures(weights, folder, tmp_path):
    infer = CLASSES_OF[weights[2]]('tiny', 'cpu')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / 'link').symlink_to(folder)
    for out in (folder, tmp_path / 'link'):
        with pytest.raises(DataError, match='0.png'):
            infer(folder, out_dir=out)
        with pytest.raises(DataError, match='1.png'):
            infer([np.zeros((8, 8, 3), np.uint8), (folder / '1.png').as_uri()], out_dir=out)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@task('segmentation')
def test_a_mask_that_would_overwrite_a_picture(weights, tmp_path):
    for name in ('a.jpg', 'a_mask.png'):
        Image.fromarray(photo()).save(tmp_path / name)
    with pytest.raises(DataError, match='a_mask.png'):
        SegmentationInferencer('tiny', 'cpu')([tmp_path / 'a.jpg', tmp_path / 'a_mask.png'], out_dir=tmp_path)


@task('classification', 'segmentation')
def test_only_results_of_this_tool_are_replaced(weights, folder, tmp_path):
    """Photographs, masks, other programs' pictures, links and folders stay what they are."""
    infer, out = CLASSES_OF[weights[2]]('tiny', 'cpu'), tmp_path / 'out'
    first = infer(folder, out_dir=out)['visualization']
    assert infer(folder, out_dir=out)['visualization'] == first
    for ending in infer.endings:
        name = f'0{ending}'
        for i, make in enumerate(
            [
                lambda path: path.write_bytes((folder / '1.png').read_bytes()),
                lambda path: path.symlink_to(folder / 'notes.txt'),
                lambda path: path.mkdir(),
                lambda path: path.symlink_to(path),
            ]
        ):
            elsewhere = tmp_path / f'{i}{ending}'
            elsewhere.mkdir()
            make(elsewhere / name)
            before = {path: path.is_file() and path.read_bytes() for path in elsewhere.iterdir()}
            with pytest.raises(ConfigError, match=name):
                infer(folder, out_dir=elsewhere)
            assert {path: path.is_file() and path.read_bytes() for path in elsewhere.iterdir()} == before
