"""ImageNet: its pictures do not fit into memory, so each is read when it is used."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from PIL import Image
from torch.utils.data import Dataset
from torchvision.transforms import v2

from a2sg_zoo.datasets.folders import ClassFolders, classes_of_training
from a2sg_zoo.datasets.pictures import read_picture
from a2sg_zoo.datasets.seeding import SeededItems
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.registry import DATASETS, TRANSFORMS

# torchvision's transforms under their own names, as dict(type='torchvision/RandAugment', ...)
for _name in (
    'AugMix',
    'AutoAugment',
    'CenterCrop',
    'ColorJitter',
    'CutMix',
    'GaussianBlur',
    'MixUp',
    'PILToTensor',
    'RandAugment',
    'RandomCrop',
    'RandomErasing',
    'RandomHorizontalFlip',
    'RandomIoUCrop',
    'RandomPhotometricDistort',
    'RandomResizedCrop',
    'RandomShortestSize',
    'RandomZoomOut',
    'Resize',
    'ScaleJitter',
    'TrivialAugmentWide',
):
    TRANSFORMS.register_module(name=f'torchvision/{_name}', module=getattr(v2, _name))


class _Files(Dataset):
    """Item i is dict(inputs=uint8 (3, H, W), data_samples=label) of picture i of a `ClassFolders`."""

    def __init__(self, folders: ClassFolders, pipeline: Sequence[dict], on_error: str) -> None:
        self.folders = folders
        self._pipeline = v2.Compose([TRANSFORMS.build(step) for step in pipeline] + [v2.PILToTensor()])
        self._on_error, self._reported = on_error, set()

    def __len__(self) -> int:
        return len(self.folders.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f'picture {index} of {len(self)}')
        for i in range(index, index + len(self)):
            path, label = self.folders.samples[i % len(self)]
            try:
                image = Image.fromarray(read_picture(path))
            except DataError as error:
                if self._on_error == 'raise':
                    raise
                if path not in self._reported:
                    self._reported.add(path)
                    print_log(f'left out, the next picture takes its place: {error}', 'current', logging.WARNING)
            else:
                return dict(inputs=self._pipeline(image), data_samples=label)
        raise DataError(f'none of the {len(self)} pictures in {self.folders.folder} can be read')


@DATASETS.register_module()
class ImageNet(SeededItems, _Files):
    """ImageNet-1k, or any pictures in its layout:

        data_root/{train,val}/CLASS/NAME.JPEG

    See `ClassFolders` for what is read in a folder, and `read_picture` for how a picture is read. Unlike most readers
    of ImageNet, it turns the few pictures whose EXIF data ask for it.

    Args:
        data_root: the folder above; by default the one in the environment variable IMAGENET_ROOT, or else
            data/imagenet.
        train: take the pictures in train, or else those in val.
        pipeline: transforms of torchvision (v2) on one image, or their configs: `dict(type='torchvision/NAME', ...)`.
        on_error: 'raise' stops at a picture that cannot be read; 'skip', for training alone, warns once and hands out
            the next one in its place.
        classes: names of the classes, in the order of their labels; by default the folders of data_root/train in
            alphabetical order, which for ImageNet's own folders is the usual order. An evaluation gets them from the
            weights, and then needs no train folder.

    Raises:
        DataError: a folder is missing, has no pictures or is none of the classes; or a picture is damaged.
        ConfigError: an argument is of the wrong kind, or nothing tells the classes.

    Source: Russakovsky et al., 2015.
    """

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        train: bool = True,
        pipeline: Sequence[dict] = (),
        on_error: str = 'raise',
        classes: Sequence[str] | None = None,
    ) -> None:
        if on_error not in ('raise', 'skip'):
            raise ConfigError(f"ImageNet: on_error must be 'raise' or 'skip', got {on_error!r}")
        if on_error == 'skip' and not train:
            raise ConfigError(
                "ImageNet: on_error = 'skip' would score another image in place of a damaged one; set it "
                'for the training data alone'
            )
        self.data_root = data_root or os.environ.get('IMAGENET_ROOT') or 'data/imagenet'
        folder = Path(self.data_root, 'train' if train else 'val').absolute()
        if not folder.is_dir():
            raise DataError(f"""ImageNet is not there: no folder {folder}
Its terms do not allow to fetch it for you: get ILSVRC2012 from https://image-net.org, unpack it to
    {self.data_root}/train/CLASS/*.JPEG and {self.data_root}/val/CLASS/*.JPEG
or set the environment variable IMAGENET_ROOT, or pass --cfg-options data_root=PATH. To try things
without it, pass --demo: that takes the digits embedded in scikit-learn.""")
        classes = classes or classes_of_training(self.data_root, 'ImageNet')
        super().__init__(ClassFolders(folder, classes, complete=train), pipeline, on_error)
        self.metainfo = dict(classes=tuple(self.folders.classes))
