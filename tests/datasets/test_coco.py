"""Data in COCO's format: what is read, and what is refused before anything is trained."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision import tv_tensors

pytest.importorskip('pycocotools')

from a2sg_zoo.datasets import CheckedDataset
from a2sg_zoo.datasets.coco import COCO, LoadDetection, PackDetection
from a2sg_zoo.datasets.coco_file import decode_segmentation, import_mask_tools
from a2sg_zoo.datasets.miniature.coco import MiniatureCOCO
from a2sg_zoo.datasets.miniature.objects import LEAST_PIXELS
from a2sg_zoo.datasets.miniature.scene_canvas import CAR, PERSON
from a2sg_zoo.datasets.miniature.scenes import draw_objects, draw_scene
from a2sg_zoo.datasets.seeding import SeededIndex
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.registry import TRANSFORMS

WIDTH, HEIGHT = 40, 30
SQUARE = [[4, 6, 14, 6, 14, 26, 4, 26]]
CONTENTS = dict(
    images=[
        dict(id=7, file_name='a.png', width=WIDTH, height=HEIGHT),
        dict(id=9, file_name='empty.png', width=WIDTH, height=HEIGHT),
    ],
    annotations=[
        dict(id=101, image_id=7, category_id=3, bbox=[4, 6, 10, 20], area=200, iscrowd=0, segmentation=SQUARE),
        dict(
            id=102,
            image_id=7,
            category_id=1,
            bbox=[20.5, 0, 19.5, 30.2],
            iscrowd=0,
            segmentation=[[21, 0, 39, 0, 39, 29]],
        ),
        dict(
            id=103,
            image_id=7,
            category_id=1,
            bbox=[0, 0, 40, 5],
            area=200,
            iscrowd=1,
            segmentation=dict(size=[HEIGHT, WIDTH], counts=[0, 5, 1195]),
        ),
    ],
    categories=[dict(id=3, name='car'), dict(id=1, name='person')],
)


@pytest.fixture
def build(tmp_path):
    """`build(contents, **arguments)`: the data set of an annotation file, with a picture of noise for each name."""

    def make(contents=CONTENTS, **arguments):
        (tmp_path / 'pictures').mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for name in ('a.png', 'empty.png'):
            Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / 'pictures' / name)
        text = contents if isinstance(contents, str) else json.dumps(contents)
        (tmp_path / 'objects.json').write_text(text)
        arguments = dict(pipeline=[dict(type='LoadDetection', masks=True), dict(type='PackDetection')]) | arguments
        return COCO(tmp_path, 'objects.json', dict(img_path='pictures'), **arguments)

    return make


def changed(**changes):
    """The contents with keys of the first annotation replaced; None removes one."""
    contents = deepcopy(CONTENTS)
    entry = contents['annotations'][0]
    entry.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del entry[key]
    return contents


def test_boxes_labels_and_masks(build):
    dataset = build()
    assert dataset.metainfo['classes'] == ('person', 'car') and len(dataset) == 2
    item = dataset[0]
    sample = item['data_samples']
    assert item['inputs'].shape == (3, HEIGHT, WIDTH) and item['inputs'].dtype == torch.uint8
    assert torch.equal(item['inputs'], torch.from_numpy(np.array(Image.open(sample.img_path))).permute(2, 0, 1))
    truth = sample.gt_instances
    # the crowd region is not learnt, and a box is clipped to its picture
    assert truth.labels.tolist() == [1, 0]
    assert truth.bboxes.tolist() == [[4, 6, 14, 26], [20.5, 0, 40, 30]]
    expected = Image.new('L', (WIDTH, HEIGHT))
    ImageDraw.Draw(expected).rectangle((4, 6, 13, 25), fill=1)
    assert torch.equal(truth.masks[0], torch.from_numpy(np.array(expected)))
    # the evaluation needs it
    assert [x['iscrowd'] for x in sample.annotations] == [0, 0, 1] and sample.annotations[1]['area'] == 19.5 * 30.2


def test_a_picture_without_objects(build):
    truth = build()[1]['data_samples'].gt_instances
    assert truth.bboxes.shape == (0, 4) and truth.masks.shape == (0, HEIGHT, WIDTH) and truth.labels.shape == (0,)


def test_transforms_move_boxes_and_masks_alike(build):
    steps = [
        LoadDetection(masks=True),
        TRANSFORMS.build(dict(type='torchvision/RandomHorizontalFlip', p=1.0)),
        TRANSFORMS.build(dict(type='torchvision/Resize', size=60, max_size=100)),
        PackDetection(),
    ]
    sample = build(pipeline=steps)[0]['data_samples']
    assert sample.img_shape == (60, 80) and sample.ori_shape == (HEIGHT, WIDTH)
    (x1, y1, x2, y2), mask = sample.gt_instances.bboxes[0].tolist(), sample.gt_instances.masks[0]
    assert (x1, y1, x2, y2) == (52, 12, 72, 52)
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (x1, y1, x2, y2)
    # the truth of the evaluation stays at the picture's own size
    assert sample.annotations[0]['bbox'] == [4, 6, 10, 20]


def test_objects_that_a_crop_left_out(build):
    def moved_out(loaded):
        boxes = loaded['boxes'] + torch.tensor([39.5, 0, 39.5, 0])
        return {**loaded, 'boxes': tv_tensors.wrap(boxes, like=loaded['boxes'])}

    steps = [LoadDetection(), moved_out]
    assert len(build(pipeline=[*steps, PackDetection()])[0]['data_samples'].gt_instances) == 0


def test_classes_may_be_chosen(build):
    dataset = build(classes=['car'])
    assert dataset.metainfo['classes'] == ('car',)
    assert dataset[0]['data_samples'].gt_instances.labels.tolist() == [0]
    with pytest.raises(ConfigError, match="'dog'.*objects.json"):
        build(classes=['car', 'dog'])


def test_classes_may_be_chosen_in_metainfo(build):
    dataset = build(metainfo=dict(classes=('car', 'person')), classes=['car', 'person'])
    assert dataset.metainfo['classes'] == ('car', 'person')
    assert build(metainfo=dict(classes=('car', 'person')))[0]['data_samples'].gt_instances.labels.tolist() == [0, 1]
    with pytest.raises(ConfigError, match="'dog'.*objects.json"):
        build(metainfo=dict(classes=['dog']))
    with pytest.raises(ConfigError, match='metainfo.classes'):
        build(metainfo=dict(classes=('car', 'person')), classes=['person', 'car'])


def test_a_filter_that_does_nothing_is_refused(build):
    with pytest.raises(ConfigError, match='filter_cfg'):
        build(filter_cfg=dict(filter_empty_gt=True))


def test_the_same_seed_gives_the_same_item(build):
    pipeline = [
        dict(type='LoadDetection'),
        dict(type='torchvision/RandomPhotometricDistort', p=1.0),
        dict(type='PackDetection'),
    ]
    dataset = build(pipeline=pipeline)
    first, second, other = (dataset[SeededIndex(0, seed)]['inputs'] for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


BAD = dict(
    no_area=(changed(bbox=[4, 6, 10, 0]), 'annotation 101'),
    negative_area=(changed(bbox=[14, 6, -10, 20]), 'annotation 101'),
    outside=(changed(bbox=[35, 6, 10, 20]), 'annotation 101'),
    far_outside=(changed(bbox=[400, 6, 10, 20]), 'annotation 101'),
    not_finite=(json.dumps(changed(bbox=[4, 6, float('nan'), 20])), 'annotation 101'),
    three_numbers=(changed(bbox=[4, 6, 10]), 'annotation 101'),
    no_box=(changed(bbox=None), 'annotation 101'),
    category=(changed(category_id=5), 'annotation 101.*category_id 5'),
    image=(changed(image_id=8), 'annotation 101.*image 8'),
    crowd=(changed(iscrowd='yes'), 'annotation 101.*iscrowd'),
    polygon=(changed(segmentation=[[1, 2, 3]]), 'annotation 101.*segmentation'),
    no_mask=(changed(segmentation=None), 'annotation 101.*segmentation'),
    mask_of_another_size=(changed(segmentation=dict(size=[9, 9], counts=[81])), 'annotation 101.*segmentation'),
    crowd_without_mask=(changed(iscrowd=1, segmentation=None), 'annotation 101.*segmentation'),
    far_polygon=(changed(segmentation=[[0, 0, 1e12, 0, 1e12, 9]]), 'annotation 101.*segmentation'),
    list_for_category=(changed(category_id=[3]), 'annotation 101.*category_id'),
    list_for_image=(changed(image_id=[7]), 'annotation 101.*image'),
    same_id=(changed(id=102), 'annotations has the id 102'),
    no_annotations=({**CONTENTS, 'annotations': []}, 'annotations'),
    no_images=({**CONTENTS, 'images': []}, 'images'),
    no_categories=({k: v for k, v in CONTENTS.items() if k != 'categories'}, 'categories'),
    two_categories=({**CONTENTS, 'categories': [dict(id=1, name='car'), dict(id=3, name='car')]}, 'categories'),
    a_list=([], 'images'),
    cut_short=(json.dumps(CONTENTS)[:-9], 'damaged'),
    no_size=({**CONTENTS, 'images': [dict(id=7, file_name='a.png')]}, 'image 7'),
    lost_picture=(
        {**CONTENTS, 'images': [*CONTENTS['images'], dict(id=1, file_name='b.png', width=4, height=4)]},
        'b.png',
    ),
)


@pytest.mark.parametrize('contents, named', BAD.values(), ids=BAD)
def test_a_faulty_file_is_refused_before_the_first_item(build, contents, named):
    with pytest.raises(DataError, match=rf'(?s)objects\.json.*{named}'):
        build(contents)


def test_faulty_boxes_may_be_left_out(build, logged):
    dataset = build(changed(bbox=[4, 6, 10, 0]), faulty='skip')
    assert dataset[0]['data_samples'].gt_instances.labels.tolist() == [0]
    (line,) = [text for text in logged if 'objects.json' in text]
    assert 'annotation 101' in line
    with pytest.raises(ConfigError, match='faulty'):
        build(faulty='ignore')


def test_faulty_segmentations_may_be_left_out_and_do_not_matter_to_boxes(build):
    for segmentation in ([[1, 2, 3]], None):
        contents = changed(segmentation=segmentation)
        assert build(contents, faulty='skip')[0]['data_samples'].gt_instances.labels.tolist() == [0]
        boxes = build(contents, pipeline=[dict(type='LoadDetection'), dict(type='PackDetection')])
        sample = boxes[0]['data_samples']
        assert len(sample.gt_instances) == 2 and 'segmentation' not in sample.annotations[0]


@pytest.mark.parametrize(
    'counts', [[], [5, 10], [5, 100_000], [-5, 1205], [5, 'a'], [600.0, 600.0], '', '0', 'o', 'xyz', 'é']
)
def test_run_lengths_that_do_not_fill_the_picture(build, counts):
    contents = changed(segmentation=dict(size=[HEIGHT, WIDTH], counts=counts))
    with pytest.raises(DataError, match='annotation 101.*segmentation'):
        build(contents)
    boxes = build(contents, pipeline=[dict(type='LoadDetection'), dict(type='PackDetection')])
    assert 'segmentation' not in boxes.get_data_info(0)['annotations'][0]


@pytest.mark.parametrize('share', [0, 0.02, 0.5, 1])
def test_compressed_run_lengths(build, share):
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < share
    counts = import_mask_tools().encode(np.asfortranarray(mask.astype(np.uint8)))['counts'].decode()
    dataset = build(changed(segmentation=dict(size=[HEIGHT, WIDTH], counts=counts)))
    assert np.array_equal(dataset[0]['data_samples'].gt_instances.masks[0], mask)


def test_files_that_are_not_there(build, tmp_path):
    with pytest.raises(DataError, match='objects.json'):
        COCO(tmp_path, 'objects.json', dict(img_path='pictures'))
    build()
    with pytest.raises(DataError, match='elsewhere'):
        COCO(tmp_path, 'objects.json', dict(img_path='elsewhere'))


def test_a_picture_of_another_size(build):
    dataset = build()
    Image.new('RGB', (HEIGHT, WIDTH)).save(dataset.get_data_info(0)['img_path'])
    with pytest.raises(DataError, match=r'(?s)a\.png.*objects\.json'):
        dataset[0]


def test_labels_beyond_the_network_name_the_picture(build):
    dataset = CheckedDataset(build(), 'train_dataloader', task='detection', num_classes=1, training=True)
    with pytest.raises(DataError, match=r'train_dataloader.*a\.png'):
        dataset[0]
    assert dataset[1]['data_samples'].img_id == 9


# the drawn scenes


def test_numbers_of_objects_agree_with_the_labels():
    for seed in range(4):
        image, label, objects = draw_objects(seed, 64)
        assert np.array_equal(image, draw_scene(seed, 64)[0]) and np.array_equal(label, draw_scene(seed, 64)[1])
        assert np.array_equal(objects > 0, np.isin(label, (PERSON, CAR)))
        for number in np.unique(objects[objects > 0]):
            assert len(np.unique(label[objects == number])) == 1


def test_drawn_scenes_have_boxes_and_masks_of_what_is_seen(tmp_path):
    pipeline = [dict(type='LoadDetection', masks=True), dict(type='PackDetection')]
    dataset = MiniatureCOCO(tmp_path / 'scenes', train=6, val=2, size=64, pipeline=pipeline)
    assert dataset.metainfo['classes'] == ('person', 'car') and len(dataset) == 6
    assert len(MiniatureCOCO(tmp_path / 'scenes', 'val', train=6, val=2, size=64)) == 2
    seen = 0
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        _, label, _ = draw_objects(info['img_id'], 64)
        found = np.zeros((2, 64, 64), bool)
        for item in info['annotations']:
            mask = decode_segmentation(item['segmentation'], 64, 64).astype(bool)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            left, top = columns[0], rows[0]
            assert item['bbox'] == [left, top, columns[-1] + 1 - left, rows[-1] + 1 - top]
            assert item['area'] == mask.sum() and item['iscrowd'] == (mask.sum() < LEAST_PIXELS)
            found[item['label']] |= mask
            seen += 1
        assert np.array_equal(found, [label == PERSON, label == CAR])
    assert seen > 10
