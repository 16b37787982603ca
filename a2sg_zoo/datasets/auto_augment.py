"""AutoAugment and RandAugment on batches: images that drew the same operation go through torchvision together."""

from collections.abc import Sequence
from itertools import product
from math import atan, degrees

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from a2sg_zoo.datasets.augment import Draws, checked_fill
from a2sg_zoo.registry import TRANSFORMS
from a2sg_zoo.utils.checks import integer, number

NEAREST = InterpolationMode.NEAREST


def _shear(images: Tensor, fill: list[float], x: float = 0.0, y: float = 0.0) -> Tensor:
    # about the corner, as Pillow does it and as the policies were found
    return TF.affine(
        images,
        angle=0.0,
        translate=[0, 0],
        scale=1.0,
        shear=[degrees(atan(x)), degrees(atan(y))],
        center=[0, 0],
        interpolation=NEAREST,
        fill=fill,
    )


def _translate(images: Tensor, fill: list[float], x: float = 0.0, y: float = 0.0) -> Tensor:
    return TF.affine(
        images, angle=0.0, translate=[int(x), int(y)], scale=1.0, shear=[0.0, 0.0], interpolation=NEAREST, fill=fill
    )


# name: (images, signed strength from -1 to 1, fill) -> images
_SIGNED = dict(
    ShearX=lambda x, s, fill: _shear(x, fill, x=0.3 * s),
    ShearY=lambda x, s, fill: _shear(x, fill, y=0.3 * s),
    TranslateX=lambda x, s, fill: _translate(x, fill, x=150 / 331 * x.shape[3] * s),
    TranslateY=lambda x, s, fill: _translate(x, fill, y=150 / 331 * x.shape[2] * s),
    Rotate=lambda x, s, fill: TF.rotate(x, 30.0 * s, NEAREST, fill=fill),
    Brightness=lambda x, s, fill: TF.adjust_brightness(x, 1 + 0.9 * s),
    Color=lambda x, s, fill: TF.adjust_saturation(x, 1 + 0.9 * s),
    Contrast=lambda x, s, fill: TF.adjust_contrast(x, 1 + 0.9 * s),
    Sharpness=lambda x, s, fill: TF.adjust_sharpness(x, 1 + 0.9 * s),
)
_UNSIGNED = dict(
    Posterize=lambda x, s, fill: TF.posterize(x, 8 - round(4 * s)),
    Solarize=lambda x, s, fill: TF.solarize(x, 255 * (1 - s)),
    AutoContrast=lambda x, s, fill: TF.autocontrast(x),
    Equalize=lambda x, s, fill: TF.equalize(x),
    Invert=lambda x, s, fill: TF.invert(x),
)
_OPERATIONS = {**_SIGNED, **_UNSIGNED}

# (operation, probability, magnitude of 9) twice: what the search on CIFAR-10 found
_CIFAR10 = [
    (('Invert', 0.1, 7), ('Contrast', 0.2, 6)),
    (('Rotate', 0.7, 2), ('TranslateX', 0.3, 9)),
    (('Sharpness', 0.8, 1), ('Sharpness', 0.9, 3)),
    (('ShearY', 0.5, 8), ('TranslateY', 0.7, 9)),
    (('AutoContrast', 0.5, 8), ('Equalize', 0.9, 2)),
    (('ShearY', 0.2, 7), ('Posterize', 0.3, 7)),
    (('Color', 0.4, 3), ('Brightness', 0.6, 7)),
    (('Sharpness', 0.3, 9), ('Brightness', 0.7, 9)),
    (('Equalize', 0.6, 5), ('Equalize', 0.5, 1)),
    (('Contrast', 0.6, 7), ('Sharpness', 0.6, 5)),
    (('Color', 0.7, 7), ('TranslateX', 0.5, 8)),
    (('Equalize', 0.3, 7), ('AutoContrast', 0.4, 8)),
    (('TranslateY', 0.4, 3), ('Sharpness', 0.2, 6)),
    (('Brightness', 0.9, 6), ('Color', 0.2, 8)),
    (('Solarize', 0.5, 2), ('Invert', 0.0, 3)),
    (('Equalize', 0.2, 0), ('AutoContrast', 0.6, 0)),
    (('Equalize', 0.2, 8), ('Equalize', 0.6, 4)),
    (('Color', 0.9, 9), ('Equalize', 0.6, 6)),
    (('AutoContrast', 0.8, 4), ('Solarize', 0.2, 8)),
    (('Brightness', 0.1, 3), ('Color', 0.7, 0)),
    (('Solarize', 0.4, 5), ('AutoContrast', 0.9, 3)),
    (('TranslateY', 0.9, 9), ('TranslateY', 0.7, 9)),
    (('AutoContrast', 0.9, 2), ('Solarize', 0.8, 3)),
    (('Equalize', 0.8, 8), ('Invert', 0.1, 3)),
    (('TranslateY', 0.7, 9), ('AutoContrast', 0.9, 1)),
]


def _apply(
    images: Tensor, kinds: Sequence[tuple[str, float]], choice: Tensor, negative: Tensor, fill: list[float]
) -> Tensor:
    """Image i after the operation kinds[choice[i]], a pair (name, strength); -1 leaves it as it is."""
    images = images.clone()
    for i, sign in product(choice.unique().tolist(), (False, True)):
        chosen = (choice == i) & (negative == sign)
        if i >= 0 and chosen.any():
            name, strength = kinds[i]
            images[chosen] = _OPERATIONS[name](
                images[chosen], -strength if sign and name in _SIGNED else strength, fill
            )
    return images


@TRANSFORMS.register_module()
class BatchAutoAugment:
    """Applies to each image one of the 25 policies for CIFAR-10, of two operations each.

    Args:
        fill: value of the three channels for pixels that come from outside the image.

    Raises:
        ConfigError: a value of `fill` is not from 0 to 255.

    Source: Cubuk et al., CVPR 2019.
    """

    def __init__(self, fill: Sequence[float] = (0, 0, 0)) -> None:
        self.fill = checked_fill(fill, self)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns new images (B, 3, H, W); see the class."""
        policy = draws.integers(len(_CIFAR10))
        for operations in zip(*_CIFAR10):
            happens = draws.uniform() < torch.tensor([p for _, p, _ in operations], dtype=torch.float64)[policy]
            kinds = [(name, magnitude / 9) for name, _, magnitude in operations]
            images = _apply(images, kinds, policy.where(happens, -1), draws.events(0.5), self.fill)
        return images


@TRANSFORMS.register_module()
class BatchRandAugment:
    """Applies to each image operations that are drawn with equal probability.

    Args:
        num_ops: operations for each image, one after the other.
        magnitude: strength of all operations, 0 to 10.
        magnitude_std: standard deviation of the magnitude, which is drawn for each image and operation. It is rounded
            to a whole number, so that images of one magnitude are transformed together.
        prob: probability of each operation.
        fill: as for `BatchAutoAugment`.

    Raises:
        ConfigError: an argument is out of its range.

    This is a batched variant: pixels are the nearest, magnitudes are whole numbers, and strengths are AutoAugment's.
    `TimmRandAugment` has timm's operations and strengths to the bit, which published recipes name.

    Source: Cubuk et al., NeurIPS 2020, with the operations and ranges of AutoAugment.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: float = 9,
        magnitude_std: float = 0.0,
        prob: float = 1.0,
        fill: Sequence[float] = (0, 0, 0),
    ) -> None:
        self.num_ops = integer('num_ops', num_ops, self)
        self.magnitude = number('magnitude', magnitude, self, 0, 10)
        self.magnitude_std = number('magnitude_std', magnitude_std, self, 0)
        self.prob = number('prob', prob, self, 0, 1)
        self.fill = checked_fill(fill, self)
        self.kinds = [
            (name, level / 10) for level in (range(11) if magnitude_std else [magnitude]) for name in _OPERATIONS
        ]

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns new images (B, 3, H, W); see the class."""
        for _ in range(self.num_ops):
            choice = draws.integers(len(_OPERATIONS))
            if self.magnitude_std:
                level = (self.magnitude + self.magnitude_std * draws.normal()).round().clamp(0, 10).long()
                choice = choice + len(_OPERATIONS) * level
            if self.prob < 1:
                choice = choice.where(draws.events(self.prob), -1)
            images = _apply(images, self.kinds, choice, draws.events(0.5), self.fill)
        return images
