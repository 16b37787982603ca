"""RandAugment as timm applies it, to the last bit: the published recipes of spiking transformers name it."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from a2sg_zoo.datasets.augment import Draws, checked_fill
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import TRANSFORMS
from a2sg_zoo.utils.checks import integer, number

Picture = Image.Image
_RESAMPLING = dict(bilinear=Image.Resampling.BILINEAR, bicubic=Image.Resampling.BICUBIC)


class _Outside:
    """How pixels that come from between or outside those of the image are found."""

    def __init__(self, fill: tuple[int, ...], resample: Image.Resampling) -> None:
        self.fill, self.resample = fill, resample

    def affine(self, image: Picture, *matrix: float) -> Picture:
        return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=self.resample, fillcolor=self.fill)

    def rotate(self, image: Picture, degrees: float) -> Picture:
        return image.rotate(degrees, resample=self.resample, fillcolor=self.fill)


def _solarize_add(image: Picture, added: int) -> Picture:
    return image.point([min(255, i + added) if i < 128 else i for i in range(256)] * len(image.getbands()))


def _enhanced(kind: Callable[[Picture], ImageEnhance._Enhance]) -> Callable[[Picture, float, int, _Outside], Picture]:
    return lambda x, level, sign, _: kind(x).enhance(max(0.1, 1 + sign * 0.9 * level))


# name: (image, level from 0 to 1, sign, outside) -> image
_OPERATIONS: dict[str, Callable[[Picture, float, int, _Outside], Picture]] = dict(
    AutoContrast=lambda x, level, sign, _: ImageOps.autocontrast(x),
    Equalize=lambda x, level, sign, _: ImageOps.equalize(x),
    Invert=lambda x, level, sign, _: ImageOps.invert(x),
    Rotate=lambda x, level, sign, outside: outside.rotate(x, sign * (level * 30.0)),
    Posterize=lambda x, level, sign, _: ImageOps.posterize(x, 4 - int(level * 4)),
    Solarize=lambda x, level, sign, _: ImageOps.solarize(x, 256 - min(256, int(level * 256))),
    SolarizeAdd=lambda x, level, sign, _: _solarize_add(x, min(128, int(level * 110))),
    Color=_enhanced(ImageEnhance.Color),
    Contrast=_enhanced(ImageEnhance.Contrast),
    Brightness=_enhanced(ImageEnhance.Brightness),
    Sharpness=_enhanced(ImageEnhance.Sharpness),
    ShearX=lambda x, level, sign, outside: outside.affine(x, 1, sign * (level * 0.3), 0, 0, 1, 0),
    ShearY=lambda x, level, sign, outside: outside.affine(x, 1, 0, 0, sign * (level * 0.3), 1, 0),
    TranslateX=lambda x, level, sign, outside: outside.affine(x, 1, 0, sign * (level * 0.45) * x.width, 0, 1, 0),
    TranslateY=lambda x, level, sign, outside: outside.affine(x, 1, 0, 0, 0, 1, sign * (level * 0.45) * x.height),
)


@TRANSFORMS.register_module()
class TimmRandAugment:
    """timm's RandAugment with operations that grow stronger with the magnitude: 'rand-m9-n1-mstd0.4-inc1'.

    For each image and operation, five numbers are drawn in this order: the operation, whether it happens, the magnitude
    (two numbers, for a normal one), and its sign. The operations are Pillow's, so the pixels are timm's to the bit.

    Args:
        num_ops: operations for each image, one after the other; n in timm's text.
        magnitude: strength of all operations, from 0 to 10; m.
        magnitude_std: standard deviation of the magnitude, which is drawn for each image and operation and cut to 0 to
            10; mstd.
        prob: probability of each operation; p.
        operations: names of the operations to draw from; by default all 15 of timm.
        fill: value of the three channels for pixels that come from outside the image.
        interpolation: 'bilinear' or 'bicubic'.

    Raises:
        ConfigError: an argument is out of its range, or names something unknown; or the images have not three channels.

    Source: Cubuk et al., NeurIPS 2020; timm.data.auto_augment of github.com/huggingface/pytorch-image-models.

    Example:
        >>> import torch
        >>> from a2sg_zoo.datasets import Draws, TimmRandAugment
        >>> TimmRandAugment()(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), Draws([1, 2])).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        num_ops: int = 1,
        magnitude: float = 9,
        magnitude_std: float = 0.4,
        prob: float = 0.5,
        operations: Sequence[str] | None = None,
        fill: Sequence[float] = (128, 128, 128),
        interpolation: str = 'bicubic',
    ) -> None:
        unknown = set(operations or ()) - _OPERATIONS.keys()
        if unknown or (operations is not None and not operations):
            raise ConfigError(
                f'TimmRandAugment: operations must be some of {", ".join(_OPERATIONS)}, got {list(operations or ())!r}'
            )
        if interpolation not in _RESAMPLING:
            raise ConfigError(f"TimmRandAugment: interpolation must be 'bilinear' or 'bicubic', got {interpolation!r}")
        self.num_ops = integer('num_ops', num_ops, self)
        self.magnitude = number('magnitude', magnitude, self, 0, 10)
        self.magnitude_std = number('magnitude_std', magnitude_std, self, 0)
        self.prob = number('prob', prob, self, 0, 1)
        self.operations = [_OPERATIONS[name] for name in operations or _OPERATIONS]
        self._outside = _Outside(tuple(round(x) for x in checked_fill(fill, self)), _RESAMPLING[interpolation])

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Returns new images (B, 3, H, W), of uint8; see the class."""
        if images.shape[1] != 3:
            raise ConfigError(f'TimmRandAugment takes images of 3 channels, red first, got {images.shape[1]} channels')
        result = images.clone()
        for _ in range(self.num_ops):
            kinds = draws.integers(len(self.operations)).tolist()
            happens = draws.uniform() <= self.prob
            levels = ((self.magnitude + self.magnitude_std * draws.normal()).clamp(0, 10) / 10).tolist()
            signs = (1 - 2 * (draws.uniform() > 0.5).long()).tolist()
            # Pillow takes one image at a time, and needs less time for it than torch for a batch
            for i in happens.nonzero().flatten().tolist():
                image = Image.fromarray(result[i].permute(1, 2, 0).contiguous().numpy())
                image = self.operations[kinds[i]](image, levels[i], signs[i], self._outside)
                result[i] = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        return result
