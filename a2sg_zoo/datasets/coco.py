"""Objects with boxes, and masks, from annotation files in COCO's format."""

import colorsys
import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement, InstanceData
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from a2sg_zoo.datasets.classes import checked_names, listed
from a2sg_zoo.datasets.coco_file import AnnotationFile, decode_segmentation, import_mask_tools
from a2sg_zoo.datasets.pictures import orientation_of, read_picture
from a2sg_zoo.datasets.seeding import SeededItems
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.registry import DATASETS, TRANSFORMS

_HOW_TO_GET = """Get train2017.zip, val2017.zip and annotations_trainval2017.zip (20 GB) from https://cocodataset.org,
and set the environment variable COCO_ROOT, or pass --cfg-options data_root=PATH, to the folder that holds annotations/
and the folders of pictures. To try things without it, pass --demo: that takes embedded street scenes."""


@DATASETS.register_module()
class COCO(SeededItems, BaseDataset):
    """Pictures with objects, from an annotation file in COCO's format.

    The whole file is checked when the data set is built. A picture without objects is a picture of background, which
    trains too. Crowd regions (`iscrowd`) are not learnt; in an evaluation, predictions within them do not count. With a
    `SeededIndex`, an item is reproducible.

    Args:
        data_root: folder of the pictures and of `ann_file`; by default the one in the environment variable COCO_ROOT,
            or else data/coco.
        ann_file: annotation file, below `data_root`.
        data_prefix: dict(img_path=FOLDER) of the pictures, below `data_root`.
        classes: names of the classes in the order of their labels, out of the file's categories; None for all of them,
            in the order of their ids. `metainfo` may name them instead, as dict(classes=[...]).
        faulty: 'refuse' objects with an error that names them, or 'skip' them: those whose box has no area or is
            outside their picture, and, where masks are loaded, those whose segmentation is missing or broken, crowd
            regions among them.
        pipeline: transforms, or their configs: `LoadDetection`, any of torchvision's, `PackDetection`.
        **kwargs: those of `mmengine.dataset.BaseDataset`: metainfo, indices, test_mode...

    Raises:
        DataError: a file is missing, or the annotation file is faulty; the message names the file and ids.
        ConfigError: `classes` names an unknown one, or others than `metainfo`; `filter_cfg` is set, which does nothing;
            or pycocotools is not installed.
    """

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        ann_file: str = 'annotations/instances_train2017.json',
        data_prefix: dict = dict(img_path='train2017'),
        classes: Sequence[str] | None = None,
        faulty: str = 'refuse',
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ):
        if kwargs.get('filter_cfg'):
            raise ConfigError('COCO: filter_cfg does nothing here; leave it out. A picture without objects trains too')
        import_mask_tools()
        self._classes, self._faulty = classes, faulty
        # built here, since MMEngine would look for the names in the default scope, which only a runner sets
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        root = str(data_root or os.environ.get('COCO_ROOT') or 'data/coco')
        super().__init__(ann_file=ann_file, data_root=root, data_prefix=data_prefix, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read and check the annotation file; returns a dictionary for each picture, see `AnnotationFile`."""
        if not os.path.isfile(self.ann_file):
            raise DataError(f'there is no annotation file {os.path.abspath(self.ann_file)}\n{_HOW_TO_GET}')
        folder = self.data_prefix['img_path']
        if not os.path.isdir(folder):
            raise DataError(f'there is no folder of pictures {os.path.abspath(folder)}\n{_HOW_TO_GET}')
        masks = any(isinstance(step, LoadDetection) and step.masks for step in self.pipeline.transforms)
        file = AnnotationFile(self.ann_file, self._chosen_classes(), self._faulty, masks)
        there = {entry.name for entry in os.scandir(folder)}
        missing = [
            picture['file_name']
            for picture in file.pictures
            if picture['file_name'] not in there and not os.path.isfile(os.path.join(folder, picture['file_name']))
        ]
        if missing:
            named = ', '.join(os.path.join(folder, name) for name in missing[:3]) + (
                ', ...' if len(missing) > 3 else ''
            )
            raise DataError(
                f'{len(missing)} of the {len(file.pictures)} pictures in annotation file {self.ann_file} are missing: '
                f'{named}\n{_HOW_TO_GET}'
            )
        self._metainfo.update(classes=tuple(file.classes), palette=palette(len(file.classes)))
        return [
            dict(
                img_path=os.path.join(folder, picture['file_name']),
                img_id=picture['id'],
                ann_file=str(self.ann_file),
                **{key: picture[key] for key in ('height', 'width', 'annotations')},
            )
            for picture in file.pictures
        ]

    def _chosen_classes(self) -> list[str] | None:
        keys = dict(classes=self._classes, **{'metainfo.classes': self._metainfo.get('classes')})
        chosen = [checked_names(names, f'COCO: {key}') for key, names in keys.items() if names is not None]
        if len(chosen) == 2 and chosen[0] != chosen[1]:
            raise ConfigError(
                f'COCO: classes is {listed(chosen[0])}, but metainfo.classes is {listed(chosen[1])}; give one of them'
            )
        return chosen[0] if chosen else None


@TRANSFORMS.register_module()
class LoadDetection:
    """Reads a picture and its objects, for torchvision's transforms.

    Gives dict(img=Image (3, H, W), uint8, red first; boxes=BoundingBoxes (N, 4), x1, y1, x2, y2; labels=(N,);
    masks=Mask (N, H, W), if asked for; info=what the data set says of the picture). Crowd regions are not among them.
    See `a2sg_zoo.datasets.pictures.read_picture` for how a picture is read.

    Args:
        masks: whether to load masks.

    Raises:
        DataError: the picture is missing or damaged, or of another size than the annotation file says.
    """

    def __init__(self, masks: bool = False):
        self.masks = masks

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load what a dictionary of `COCO` names."""
        image = read_picture(results['img_path'])
        size = (results['height'], results['width'])
        if image.shape[:2] != size:
            raise DataError(
                f'picture {results["img_path"]} is {image.shape[1]} x {image.shape[0]} (width x height), but '
                f'annotation file {results["ann_file"]} says {size[1]} x {size[0]} of image {results["img_id"]}'
                + _advice(results['img_path'], image.shape[:2], size)
            )
        objects = [item for item in results['annotations'] if not item['iscrowd']]
        boxes = torch.tensor([item['bbox'] for item in objects], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        loaded = dict(
            img=tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)),
            boxes=F.clamp_bounding_boxes(tv_tensors.BoundingBoxes(boxes, format='XYXY', canvas_size=size)),
            labels=torch.tensor([item['label'] for item in objects], dtype=torch.long),
            info=SimpleNamespace(**results),  # a leaf: transforms do not look into it
        )
        if self.masks:
            masks = [decode_segmentation(item['segmentation'], *size) for item in objects]
            stacked = np.stack(masks) if masks else np.zeros((0, *size), np.uint8)
            loaded['masks'] = tv_tensors.Mask(torch.from_numpy(stacked))
        return loaded


def _advice(path: str, found: tuple[int, ...], expected: tuple[int, int]) -> str:
    if found == expected[::-1] and orientation_of(path) in (5, 6, 7, 8):
        return (
            f'. It is stored turned (EXIF orientation {orientation_of(path)}) and read upright: remove the orientation '
            'from the picture'
        )
    return '; they do not belong together'


@TRANSFORMS.register_module()
class PackDetection:
    """Puts a loaded picture into what a detector takes: dict(inputs=uint8 (3, H, W), data_samples=sample).

    The sample has `gt_instances` with bboxes, labels and, if loaded, masks, in pixels of `inputs`. Objects of which a
    transform left less than `least` pixels in width or height are left out. For the evaluation, `annotations` holds
    those of the picture at its own size, `ori_shape`.

    Args:
        least: smallest width and height of an object, in pixels.
    """

    def __init__(self, least: float = 1.0):
        self.least = least

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack what `LoadDetection` gave."""
        image, info = results['img'], results['info']
        boxes = F.clamp_bounding_boxes(results['boxes']).as_subclass(torch.Tensor)
        kept = (boxes[:, 2:] - boxes[:, :2] >= self.least).all(1)
        objects = InstanceData(bboxes=boxes[kept], labels=results['labels'][kept])
        if 'masks' in results:
            objects.masks = results['masks'].as_subclass(torch.Tensor)[kept]
        sample = BaseDataElement(
            metainfo=dict(
                img_path=info.img_path,
                img_id=info.img_id,
                ori_shape=(info.height, info.width),
                img_shape=tuple(image.shape[-2:]),
                annotations=info.annotations,
            )
        )
        sample.gt_instances = objects
        return dict(inputs=image.as_subclass(torch.Tensor).contiguous(), data_samples=sample)


def palette(number: int) -> list[list[int]]:
    """Return as many distinct colours [red, green, blue].

    >>> palette(2)
    [[242, 61, 61], [61, 114, 242]]
    """
    # steps of the golden ratio around the circle of hues stay far from each other
    hues = ((i * 0.618034) % 1 for i in range(number))
    return [[round(255 * x) for x in colorsys.hsv_to_rgb(hue, 0.75, 0.95)] for hue in hues]
