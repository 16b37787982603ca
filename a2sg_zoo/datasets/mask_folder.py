"""A folder of pictures and masks of one's own, with its own classes."""

import colorsys
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine import fileio

from a2sg_zoo.datasets.classes import checked_names, listed
from a2sg_zoo.datasets.pictures import is_picture
from a2sg_zoo.datasets.segmentation import IGNORED, SegmentationFiles
from a2sg_zoo.errors import ConfigError, DataError, printable
from a2sg_zoo.registry import DATASETS

Colour = Sequence[int]


@DATASETS.register_module()
class MaskFolder(SegmentationFiles):
    """Pictures and masks in two folders:

        data_root/images/{train,val}/NAME.jpg    or .png, .tif, ...; folders in folders too
        data_root/masks/{train,val}/NAME.png     a mask for each picture, of its size
        data_root/labels.txt                     one class a line: `road`, or with its colour `road 128 64 128`

    A mask holds the labels 0, 1, ... as grey values or palette indices, in the order of the classes; 255 is ignored.
    With `masks='colours'` it is drawn in the colours of `labels.txt` or of `palette` instead.

    Args:
        data_root: the folder above; the default is in the environment variable MASK_FOLDER_ROOT.
        data_prefix: folders of pictures and masks, dict(img_path=..., seg_map_path=...).
        classes: names of the classes of the network, in their order, some or all of those in labels.txt; pixels of the
            others are ignored. Without a labels.txt, the masks hold these classes and no others.
        palette: colours [red, green, blue] of all labels of the masks, for pictures and for masks in colours; by
            default those of labels.txt, or colours that differ.
        masks: 'labels' or 'colours'.
        ignored: names of labels, or colours that no label has, whose pixels are ignored.
        pipeline: transforms, or their configs.
        **kwargs: see `SegmentationFiles`; every picture of the folder is taken, so there is no `ann_file`.

    Raises:
        DataError: files are missing, see `SegmentationFiles`; labels.txt is missing or cannot be understood.
        ConfigError: classes, palette and masks do not fit together, or there is an `ann_file`.
    """

    TITLE = 'MaskFolder'
    VARIABLE = 'MASK_FOLDER_ROOT'
    ROOT = 'data/masks'
    HOW_TO_GET = 'Needed are images/{train,val} and masks/{train,val}, or other folders that data_prefix names'

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        data_prefix: dict[str, str] = dict(img_path='images/train', seg_map_path='masks/train'),
        classes: Sequence[str] | None = None,
        palette: Sequence[Colour] | None = None,
        masks: str = 'labels',
        ignored: Sequence[str | Colour] = (),
        pipeline: Sequence[Any] = (),
        **kwargs: Any,
    ) -> None:
        if masks not in ('labels', 'colours'):
            raise ConfigError(f"MaskFolder: masks must be 'labels' or 'colours', got {masks!r}")
        if kwargs.get('ann_file'):
            raise ConfigError(
                f'MaskFolder takes every picture of data_prefix.img_path and reads no ann_file, got '
                f'{kwargs["ann_file"]!r}; put the pictures and masks of each split into folders of their own'
            )
        root = Path(data_root or os.environ.get(self.VARIABLE) or self.ROOT)
        labels = root / 'labels.txt'
        if classes is not None:
            classes = checked_names(classes, 'MaskFolder.classes')
        names, colours = read_labels(labels) if classes is None or labels.exists() else (classes, None)
        names = checked_names(names, f'MaskFolder: {labels}')
        colours = _checked_colours(colours if palette is None else palette, names, masks)
        dropped = [name for name in ignored if isinstance(name, str)]
        for key, chosen in (('classes', classes or ()), ('ignored', dropped)):
            unknown = [name for name in chosen if name not in names]
            if unknown:
                raise ConfigError(f'MaskFolder.{key} names {listed(unknown)}; the masks have {listed(names)}')
        others = [_checked_colour(colour, 'ignored: a colour') for colour in ignored if not isinstance(colour, str)]
        if others and masks == 'labels':
            raise ConfigError("MaskFolder.ignored has colours, which masks of labels do not have; set masks='colours'")
        for name, colour in zip(names, colours or ()):
            if colour in others:
                raise ConfigError(
                    f'MaskFolder.ignored has {colour}, the colour of {printable(name)}; name that instead'
                )
        kept = [name for name in classes or names if name not in dropped]
        shown = colours or distinct_colours(len(names))
        self._labels = len(names) + len(others)
        if masks == 'colours':
            self.mask_colours = [*(colours or ()), *others]
        # labels of the files to those of the network
        self._label_map = {i: kept.index(x) if x in kept else IGNORED for i, x in enumerate(names)}
        self._label_map |= {len(names) + i: IGNORED for i in range(len(others))}
        metainfo = dict(classes=kept, palette=[shown[names.index(name)] for name in kept])
        super().__init__(
            data_root=root, data_prefix=data_prefix, metainfo=metainfo, img_suffix='', pipeline=pipeline, **kwargs
        )

    def listed_files(self) -> list[dict[str, Any]]:
        """A picture and its mask for each picture in the folder."""
        images, masks = self.data_prefix['img_path'], self.data_prefix['seg_map_path']
        return [
            dict(
                img_path=os.path.join(images, name),
                seg_map_path=os.path.join(masks, os.path.splitext(name)[0] + self.seg_map_suffix),
                label_map=self._label_map,
                num_labels=self._labels,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            for name in sorted(fileio.list_dir_or_file(images, list_dir=False, recursive=True))
            if is_picture(name)
        ]

    def images_of_masks(self, known: set[str]) -> list[str]:
        """Paths, without a suffix, at which a mask should have its picture."""
        images, masks = self.data_prefix['img_path'], self.data_prefix['seg_map_path']
        stems = {os.path.splitext(path)[0] for path in known}
        names = fileio.list_dir_or_file(masks, list_dir=False, suffix=self.seg_map_suffix, recursive=True)
        paths = (os.path.join(images, name.removesuffix(self.seg_map_suffix)) for name in names)
        return sorted(path for path in paths if path not in stems)


def read_labels(path: Path) -> tuple[list[str], list[list[int]] | None]:
    """Names of the classes, and their colours where the file has them.

    Each line is a name, or a name and three numbers from 0 to 255, in either order. Empty lines and lines that begin
    with # are left out.

    Args:
        path: text file in UTF-8.

    Raises:
        DataError: the file is missing, is no text, has no line, or has colours in some lines only.
    """
    try:
        lines = path.read_text('utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = 'it is no text in UTF-8' if isinstance(error, UnicodeDecodeError) else error.strerror
        raise DataError(
            f'MaskFolder: {path} cannot be read: {reason}. It names the classes, one a line, in the order of their '
            "labels; or set the data set's classes"
        ) from error
    names, colours = [], []
    for line in lines:
        words = line.split()
        if not words or words[0].startswith('#'):
            continue
        first, last = words[:3], words[-3:]
        for numbers, name in ((last, words[:-3]), (first, words[3:])):
            if name and len(numbers) == 3 and all(word.isascii() and word.isdecimal() for word in numbers):
                names.append(' '.join(name))
                colours.append([int(word) for word in numbers])
                break
        else:
            names.append(' '.join(words))
    if not names or len(colours) not in (0, len(names)):
        problem = 'has no line' if not names else f'has colours in {len(colours)} of {len(names)} lines'
        raise DataError(f'MaskFolder: {path} {problem}; needed is a class a line, each with a colour or none of them')
    return names, colours or None


def distinct_colours(count: int) -> list[list[int]]:
    """Colours [red, green, blue] that differ in hue, and from turn to turn in brightness.

    Example:
        >>> distinct_colours(2)
        [[230, 80, 80], [54, 83, 153]]
    """
    # steps of the golden ratio spread any number of hues evenly
    turns = [(0.618034 * i % 1, 0.65, (0.9, 0.6, 0.75)[i % 3]) for i in range(count)]
    return [[round(255 * x) for x in colorsys.hsv_to_rgb(*turn)] for turn in turns]


def _checked_colours(colours: Sequence[Colour] | None, names: list[str], masks: str) -> list[list[int]] | None:
    """The colours, or a ConfigError unless each class has one, all different where masks are drawn in them."""
    if colours is None:
        if masks == 'colours':
            raise ConfigError("MaskFolder: masks='colours' needs palette, or labels.txt with a colour in each line")
        return None
    if len(colours) != len(names):
        raise ConfigError(f'MaskFolder.palette has {len(colours)} colours for {len(names)} classes')
    checked = [_checked_colour(x, f'palette: the colour of {printable(name)}') for name, x in zip(names, colours)]
    if masks == 'colours' and len(set(map(tuple, checked))) < len(checked):
        twice = next(n for n, c in zip(names, checked) if checked.count(c) > 1)
        raise ConfigError(f'MaskFolder.palette: {printable(twice)} has the colour of another class')
    return checked


def _checked_colour(colour: Any, where: str) -> list[int]:
    if (
        not isinstance(colour, (list, tuple))
        or len(colour) != 3
        or not all(type(x) is int and 0 <= x <= 255 for x in colour)
    ):
        raise ConfigError(
            f'MaskFolder.{where} is {printable(repr(colour))[:60]}; needed is [red, green, blue], each from 0 to 255'
        )
    return list(colour)
