"""The data set of `--demo`: a folder of drawn scenes, read like ADE20K itself."""

import os
from typing import Any

from a2sg_zoo.datasets.ade20k import ADE20K
from a2sg_zoo.datasets.miniature.scenes import write_scenes
from a2sg_zoo.registry import DATASETS


@DATASETS.register_module()
class MiniatureADE20K(ADE20K):
    """Street scenes in the layout of ADE20K, drawn into `data_root` if they are not there yet.

    Six of the 150 classes occur. See `write_scenes`.

    Args:
        data_root: folder of the scenes.
        train, val: numbers of scenes in the two splits.
        size: height and width of a scene in pixels.
        **kwargs: see `ADE20K`.
    """

    def __init__(
        self, data_root: str | os.PathLike, train: int = 400, val: int = 40, size: int = 128, **kwargs: Any
    ) -> None:
        write_scenes(data_root, train, val, size)
        super().__init__(data_root=data_root, **kwargs)
