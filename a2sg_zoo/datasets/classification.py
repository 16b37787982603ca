"""Small images with one label each. They are kept in memory, and a batch of them is augmented at once."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from mmengine.logging import print_log
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision import datasets as torchvision

from a2sg_zoo.datasets.augment import Draws, to_device_of
from a2sg_zoo.datasets.classes import warn_of_absent_classes
from a2sg_zoo.datasets.folders import ClassFolders, classes_of_training
from a2sg_zoo.datasets.pictures import read_picture
from a2sg_zoo.datasets.seeding import SeededIndex
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.registry import DATASETS, TRANSFORMS
from a2sg_zoo.utils.checks import is_integer

# pixels of a side: all pictures are in memory at once
_LARGEST_SIZE = 1024

Step: TypeAlias = dict | Callable[[Tensor, Draws], Tensor]
Range: TypeAlias = Sequence[int | None] | None


class ImagesInMemory:
    """Base of the data sets in this file: item i is dict(inputs=uint8 (3, H, W), data_samples=label).

    PyTorch's DataLoader calls `__getitems__`, which augments a batch at once. The item of a `SeededIndex` depends on
    its position and its seed alone; for a plain integer, torch's generator draws the seed.

    Args:
        images: uint8 tensor (N, 3, H, W), red first.
        labels: N integers.
        classes: names of the classes.
        pipeline: batch transforms, or their configs; see `a2sg_zoo.datasets.augment`.
        per_class: (start, stop) keeps the images start..stop-1 of each class, in their order; stop may be None. A part
            of the training images can so serve for validation.
        device: device that keeps and augments the images, such as 'cuda' (None: the CPU). The random numbers are those
            of the CPU. The data loader then needs num_workers=0, and the pipeline transforms with `any_device`, which
            are those in `a2sg_zoo.datasets.augment`.

    Raises:
        ConfigError: `per_class` is no range, or leaves no image; or there is no such device, or a transform cannot
            augment there.
    """

    def __init__(
        self,
        images: Any,
        labels: Sequence[int] | np.ndarray,
        classes: Iterable[str],
        pipeline: Sequence[Step] = (),
        per_class: Range = None,
        device: str | None = None,
    ) -> None:
        known, classes = np.asarray(labels, dtype=np.int64), list(classes)
        per_class = _checked_range(per_class, self)
        if per_class is not None:
            kept = np.sort(
                np.concatenate([np.flatnonzero(known == label)[slice(*per_class)] for label in range(len(classes))])
            )
            if not len(kept):
                raise ConfigError(
                    f'{type(self).__name__}: per_class = {per_class} leaves no image; the smallest class '
                    f'has {np.bincount(known, minlength=len(classes)).min()}'
                )
            images, known = images[kept], known[kept]
            warn_of_absent_classes({classes[label] for label in known}, classes, type(self).__name__)
        self.images, self.labels = images, known.tolist()
        if device is not None:
            self.images = _moved(images, device, self)
        self.metainfo: dict[str, Any] = dict(classes=tuple(classes))
        self.pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        if device is not None and self.images.device.type != 'cpu':
            for step in self.pipeline:
                if not getattr(step, 'any_device', False):
                    raise ConfigError(
                        f'{type(self).__name__}: device = {device!r}, but {type(step).__name__} augments images on the '
                        'CPU alone; leave out device, or that transform'
                    )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The items of a batch, augmented together."""
        images, positions = self.images, [range(len(self))[i] for i in indices]  # from the end, too
        if isinstance(images, Tensor):
            images = images[to_device_of(images, torch.tensor(positions, dtype=torch.long))]
        else:  # a cache on disk
            images = images[positions]
        if self.pipeline:
            visits = [i.visit for i in indices if isinstance(i, SeededIndex)]
            draws = Draws(
                [i.seed if isinstance(i, SeededIndex) else int(torch.randint(2**63 - 1, ())) for i in indices],
                indices=positions,
                visits=visits if len(visits) == len(indices) else None,
            )
            for step in self.pipeline:
                images = step(images, draws)
        return [dict(inputs=image, data_samples=self.labels[i]) for image, i in zip(images, positions)]


@DATASETS.register_module()
class CIFAR(ImagesInMemory):
    """CIFAR-10 or CIFAR-100 as torchvision stores it: 50,000 training and 10,000 test images of 32x32 pixels.

    Args:
        data_root: folder that holds cifar-10-batches-py or cifar-100-python; by default the folder in the environment
            variable CIFAR_ROOT, or else data/cifar.
        num_classes: 10 or 100.
        train: take the training images, or else the test images.
        pipeline, per_class, device: see `ImagesInMemory`.

    Raises:
        DataError: the files are missing or damaged.
        ConfigError: `num_classes` is neither.

    Source: Krizhevsky, 2009.
    """

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        num_classes: int = 10,
        train: bool = True,
        pipeline: Sequence[Step] = (),
        per_class: Range = None,
        device: str | None = None,
    ) -> None:
        if num_classes not in (10, 100):
            raise ConfigError(f'CIFAR: num_classes must be 10 or 100, got {num_classes!r}')
        self.data_root = data_root or os.environ.get('CIFAR_ROOT') or 'data/cifar'
        source = getattr(torchvision, f'CIFAR{num_classes}')
        folder = Path(self.data_root, source.base_folder).absolute()
        if not folder.is_dir():
            raise DataError(f'CIFAR-{num_classes} is not there: no folder {folder}\n{self._how_to_get(num_classes)}')
        try:
            data = source(self.data_root, train=train)
        except Exception as error:  # it unpickles files, once their checksums are right
            raise DataError(
                f'CIFAR-{num_classes} in {folder} is incomplete or damaged ({error}); remove that folder\n'
                f'{self._how_to_get(num_classes)}'
            ) from error
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        super().__init__(images, data.targets, data.classes, pipeline, per_class, device)

    def _how_to_get(self, num_classes: int) -> str:
        return f"""Get the data set (170 MB) with
    a2sg-zoo download_dataset cifar{num_classes} --root {self.data_root}
or set the environment variable CIFAR_ROOT, or pass --cfg-options data_root=PATH, to the folder that
holds {getattr(torchvision, f'CIFAR{num_classes}').base_folder}. To try things without it, pass --demo: that takes \
the digits embedded in scikit-learn."""


@DATASETS.register_module()
class ImageFolder(ImagesInMemory):
    """Pictures in folders named after their classes, read once and kept in memory:

        data_root/{train,test}/CLASS/NAME.jpg

    See `ClassFolders` for what is read in a folder, and `read_picture` for how a picture is read.

    Args:
        data_root: the folder above.
        train: take the pictures in train, or else those in test.
        size: height and width to which pictures are resized.
        on_error: 'raise' stops at a picture that cannot be read; 'skip' warns and leaves it out.
        pipeline, per_class, device: see `ImagesInMemory`.
        classes: names of the classes, in the order of their labels; by default the folders of data_root/train in
            alphabetical order. An evaluation gets them from the weights, and then needs no train folder.

    Raises:
        DataError: a folder is missing, has no pictures or is none of the classes; or a picture is damaged.
        ConfigError: an argument is of the wrong kind, or nothing tells the classes.
    """

    def __init__(
        self,
        data_root: str | os.PathLike,
        train: bool = True,
        size: int = 32,
        on_error: str = 'raise',
        pipeline: Sequence[Step] = (),
        per_class: Range = None,
        classes: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        if on_error not in ('raise', 'skip'):
            raise ConfigError(f"ImageFolder: on_error must be 'raise' or 'skip', got {on_error!r}")
        if not is_integer(size) or not 1 <= size <= _LARGEST_SIZE:
            raise ConfigError(f'ImageFolder: size must be an integer from 1 to {_LARGEST_SIZE}, got {size!r}')
        self.data_root = data_root
        folder = Path(data_root, 'train' if train else 'test')
        if not folder.is_dir():
            raise DataError(
                f'no folder {folder.absolute()}; expected are images in '
                f'{data_root}/{{train,test}}/CLASS/; pass --cfg-options data_root=PATH'
            )
        found = ClassFolders(folder, classes or classes_of_training(data_root, type(self).__name__), complete=train)
        per_class = _checked_range(per_class, self)
        images, labels = [], []
        for label, group in groupby(found.samples, itemgetter(1)):
            paths = [path for path, _ in group]
            for path in paths[slice(*per_class)] if per_class else paths:
                try:
                    images.append(_resized(path, size))
                except DataError as error:
                    if on_error == 'raise':
                        raise
                    print_log(f'left out: {error}', logger='current', level=logging.WARNING)
                else:
                    labels.append(label)
        if not images:
            raise DataError(
                f'{folder.absolute()} holds no picture that can be read'
                + (f' at the places per_class = {per_class}' if per_class else '')
            )
        if train or per_class:
            warn_of_absent_classes({found.classes[label] for label in labels}, found.classes, str(folder))
        super().__init__(torch.stack(images), labels, found.classes, pipeline, device=device)


def _resized(path: str, size: int) -> Tensor:
    """The picture in a file: uint8 (3, size, size)."""
    image = read_picture(path)
    if image.shape[:2] != (size, size):
        image = np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


def _moved(images: Any, device: str, owner: object) -> Tensor:
    """The images on a device, or a ConfigError if there is no such device."""
    try:
        return torch.as_tensor(images).to(device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch's for a wrong name and for one that is not there
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).partition('\n')[0]
        raise ConfigError(f'{type(owner).__name__}: device = {device!r} cannot hold the images: {reason}') from error


def _checked_range(per_class: Any, owner: object) -> tuple[int | None, int | None] | None:
    """`per_class`, or a ConfigError if it is no pair of positions."""
    if per_class is None:
        return None
    if (
        not isinstance(per_class, (list, tuple))
        or len(per_class) != 2
        or not all(x is None or is_integer(x) for x in per_class)
    ):
        raise ConfigError(
            f'{type(owner).__name__}: per_class must be (start, stop), integers or None, got {per_class!r}'
        )
    return tuple(per_class)


@DATASETS.register_module()
class Digits(ImagesInMemory):
    """The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn, as grey images with three channels.

    Every fifth one is a test image: 1,437 are for training, 360 for the test.

    Args:
        train: take the training images, or else the test images.
        size: height and width to which the images are enlarged.
        pipeline, per_class, device: see `ImagesInMemory`.

    Source: UCI Machine Learning Repository, Optical Recognition of Handwritten Digits.
    """

    def __init__(
        self,
        train: bool = True,
        size: int = 32,
        pipeline: Sequence[Step] = (),
        per_class: Range = None,
        device: str | None = None,
    ) -> None:
        from sklearn.datasets import load_digits  # takes a second

        digits = load_digits()
        chosen = (np.arange(len(digits.target)) % 5 == 0) != train
        images = torch.from_numpy(digits.images[chosen]).float()[:, None] * (255 / 16)
        images = F.interpolate(images, (size, size), mode='bilinear').round().byte().expand(-1, 3, -1, -1)
        images, classes = images.contiguous(), list(map(str, range(10)))
        super().__init__(images, digits.target[chosen], classes, pipeline, per_class, device)
