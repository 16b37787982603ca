"""ImageNet: images too many and too large for memory, decoded when they are asked for."""

import logging
import os
from pathlib import Path

from mmengine.logging import print_log
from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets.folder import ImageFolder as Listing
from torchvision.transforms import v2

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
    'RandomResizedCrop',
    'Resize',
    'TrivialAugmentWide',
):
    TRANSFORMS.register_module(name=f'torchvision/{_name}', module=getattr(v2, _name))


class _Files(Dataset):
    """Item i is dict(inputs=uint8 (3, H, W), data_samples=label), of the files CLASS/NAME under a folder."""

    def __init__(self, folder, pipeline, on_error):
        self._listing = Listing(folder)
        self._pipeline = v2.Compose([TRANSFORMS.build(step) for step in pipeline] + [v2.PILToTensor()])
        self._on_error, self._reported = on_error, set()

    def __len__(self):
        return len(self._listing)

    def __getitem__(self, index):
        index = int(index)
        for i in range(index, index + len(self)):
            path, label = self._listing.samples[i % len(self)]
            try:
                image = self._decode(path)
            except DataError as error:
                if self._on_error == 'raise':
                    raise
                if path not in self._reported:
                    self._reported.add(path)
                    print_log(f'left out, the next image takes its place: {error}', 'current', logging.WARNING)
            else:
                return dict(inputs=self._pipeline(image), data_samples=label)
        raise DataError(f'none of the {len(self)} images in {self._listing.root} can be decoded')

    @staticmethod
    def _decode(path):
        try:
            with Image.open(path) as image:
                return image.convert('RGB')
        except Exception as error:
            raise DataError(f'image {path} is damaged ({error}); replace or remove this file') from error


@DATASETS.register_module()
class ImageNet(SeededItems, _Files):
    """ImageNet-1k, or any images in its layout:

        data_root/{train,val}/CLASS/NAME.JPEG

    The classes are the folders of data_root/train, in alphabetical order, which for ImageNet's own folders is the
    usual order.

    Args:
        data_root: the folder above; by default that in the environment variable IMAGENET_ROOT, or else data/imagenet.
        train: the images in train, or else those in val.
        pipeline: transforms of torchvision (v2) on one image, or their configs: `dict(type='torchvision/NAME', ...)`.
        on_error: 'raise' stops at an image that cannot be decoded; 'skip', for training alone, warns once and hands
            out the next one in its place.

    Raises:
        DataError: a folder is missing or holds no images; or an image is damaged.

    Source: Russakovsky et al., 2015.
    """

    def __init__(self, data_root=None, train=True, pipeline=(), on_error='raise'):
        if on_error not in ('raise', 'skip'):
            raise ConfigError(f"ImageNet: on_error must be 'raise' or 'skip', got {on_error!r}")
        if on_error == 'skip' and not train:
            raise ConfigError(
                "ImageNet: on_error = 'skip' would score another image in place of a damaged one; set it "
                'for the training data alone'
            )
        self.data_root = data_root or os.environ.get('IMAGENET_ROOT') or 'data/imagenet'
        folder = Path(self.data_root, 'train' if train else 'val').absolute()
        try:
            super().__init__(folder, pipeline, on_error)
        except FileNotFoundError as error:
            raise DataError(f"""ImageNet is not there: {error}
Its terms do not allow to fetch it for you: get ILSVRC2012 from https://image-net.org, unpack it to
    {self.data_root}/train/CLASS/*.JPEG and {self.data_root}/val/CLASS/*.JPEG
or say where it lies: set the environment variable IMAGENET_ROOT, or pass --cfg-options data_root=PATH. To try things
without it, pass --demo: that takes the digits embedded in scikit-learn.""") from error
        self.metainfo = dict(classes=tuple(self._listing.classes))
