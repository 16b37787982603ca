"""The data set of a detector's `--demo`: drawn street scenes with the boxes and masks of persons and cars."""

import os
from typing import Any

from a2sg_zoo.datasets.coco import COCO
from a2sg_zoo.datasets.miniature.objects import write_objects
from a2sg_zoo.registry import DATASETS


@DATASETS.register_module()
class MiniatureCOCO(COCO):
    """Street scenes with annotations in COCO's format, drawn into `data_root` if they are not there yet.

    The classes are person and car. See `write_objects`.

    Args:
        data_root: folder of the scenes.
        split: 'train' or 'val'.
        train, val: numbers of scenes in the two splits.
        size: height and width of a scene in pixels.
        **kwargs: see `COCO`; `ann_file` and `data_prefix` are given by the split.
    """

    def __init__(
        self,
        data_root: str | os.PathLike,
        split: str = 'train',
        train: int = 400,
        val: int = 100,
        size: int = 128,
        **kwargs: Any,
    ) -> None:
        write_objects(data_root, train, val, size)
        super().__init__(
            data_root=data_root,
            ann_file=f'annotations/instances_{split}.json',
            data_prefix=dict(img_path=split),
            **kwargs,
        )
