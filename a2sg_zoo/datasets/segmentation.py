"""Folders of pictures and segmentation masks. Errors name the files that are missing or damaged."""

import contextlib
import io
import logging
import os
from collections.abc import Sequence
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log

from a2sg_zoo.datasets.classes import checked_names, listed
from a2sg_zoo.datasets.pictures import decode_mask, decode_picture, open_file, orientation_of
from a2sg_zoo.datasets.seeding import SeededItems
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.registry import TRANSFORMS

with contextlib.redirect_stdout(None):  # it prints that an optional package is missing
    from mmseg.datasets import BaseSegDataset
    from mmseg.datasets.transforms import LoadAnnotations

IGNORED = 255


class SegmentationFiles(SeededItems, BaseSegDataset):
    """A data set of MMSegmentation: all files are there, some pixel has a class, and items are reproducible.

    The `gt_seg_map` of an item holds 0..classes - 1, and 255 for ignored pixels. Name this class before
    a data set of MMSegmentation among the bases. A class says where its data are and how to get them:

    Attributes:
        TITLE: what the messages call the data set.
        VARIABLE: environment variable with the default of `data_root`.
        ROOT: default of `data_root` without it.
        HOW_TO_GET: end of the message where the data are missing.

    Args:
        data_root: folder of the data.
        pipeline: transforms, or their configs.
        **kwargs: those of `mmseg.datasets.BaseSegDataset`: data_prefix, ann_file, indices, test_mode...; `metainfo` may
            choose some of the classes, in another order, as dict(classes=[...]).

    Raises:
        DataError: a folder or the list of names is missing or empty, an image lacks its mask or a mask its image, or no
            pixel of any mask has a class.
        ConfigError: `metainfo` names an unknown class, `filter_cfg` is set, which does nothing, or `reduce_zero_label`
            is set for masks in colours.
    """

    TITLE = 'the data set'
    VARIABLE = ''
    ROOT = ''
    HOW_TO_GET = 'Pass --cfg-options data_root=PATH'
    # colours of the classes in masks that are drawn in colours; None where masks hold labels
    mask_colours: list[list[int]] | None = None

    def __init__(self, data_root: str | os.PathLike | None = None, pipeline: Sequence[Any] = (), **kwargs: Any) -> None:
        if kwargs.get('filter_cfg'):
            raise ConfigError(f'{self.TITLE}: filter_cfg does nothing here; leave it out')
        root = data_root or os.environ.get(self.VARIABLE) or self.ROOT
        classes = (kwargs.get('metainfo') or {}).get('classes')
        known = set(self.METAINFO.get('classes', ()))
        if known and isinstance(classes, (list, tuple)):
            strange = [name for name in checked_names(classes, f'{self.TITLE}: metainfo.classes') if name not in known]
            if strange:
                raise ConfigError(
                    f'{self.TITLE}: metainfo.classes names {listed(strange)}, which {self.TITLE} does not have'
                )
        # built here, since MMEngine would look for the names in the default scope, which only a runner sets
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        super().__init__(data_root=root, pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The paths of all images and their masks, all of which are files."""
        if self.mask_colours is not None and self.reduce_zero_label:
            raise ConfigError(
                f'{self.TITLE}: reduce_zero_label=True is for masks of labels, but these masks are drawn in colours; '
                'leave it out, and name the class to ignore'
            )
        image_folder, mask_folder = self.data_prefix['img_path'], self.data_prefix['seg_map_path']
        for what, folder in (('image', image_folder), ('mask', mask_folder)):
            if not os.path.isdir(folder):
                raise DataError(
                    f'{self.TITLE} is not there: no {what} folder at {os.path.abspath(folder)}\n{self.HOW_TO_GET}'
                )
        if self.ann_file and not os.path.exists(self.ann_file):
            raise DataError(
                f'{self.TITLE}: ann_file is not there: no list of names at {os.path.abspath(self.ann_file)}\n'
                f'{self.HOW_TO_GET}'
            )
        try:
            data_list = self.listed_files()
            images = [item['img_path'] for item in data_list]
            if not self.ann_file or os.path.isdir(self.ann_file):
                images += self.images_of_masks(set(images))
        except OSError as error:  # a loop of symbolic links, or a folder that may not be read
            raise DataError(
                f'{self.TITLE}: {error.filename or image_folder} cannot be read: {error.strerror}'
            ) from error
        if not images:
            raise DataError(
                f'{self.TITLE} is empty: no image NAME{self.img_suffix} in {os.path.abspath(image_folder)}\n'
                f'{self.HOW_TO_GET}'
            )
        for what, paths in (('image', images), ('mask', [item['seg_map_path'] for item in data_list])):
            missing = _missing(paths)
            if missing:
                named = ', '.join(map(os.path.abspath, missing[:3])) + (', ...' if len(missing) > 3 else '')
                raise DataError(
                    f'{self.TITLE} is incomplete: {len(missing)} of {len(paths)} {what} files are missing: {named}\n'
                    f'{self.HOW_TO_GET}'
                )
        return [dict(item, mask_colours=self.mask_colours) for item in data_list]

    def listed_files(self) -> list[dict[str, Any]]:
        """Paths of an image and its mask for each image, with what the transforms need to read them."""
        labels = len(self.METAINFO.get('classes', ())) or None
        return [dict(item, num_labels=labels) for item in super().load_data_list()]

    def images_of_masks(self, known: set[str]) -> list[str]:
        """Paths at which a mask has its image, but the listing of images found no file.

        Args:
            known: paths that the listing found.
        """
        images, masks = self.data_prefix['img_path'], self.data_prefix['seg_map_path']
        names = fileio.list_dir_or_file(masks, list_dir=False, suffix='.png', recursive=True)
        stems = (name.removesuffix(self.seg_map_suffix) for name in names if name.endswith(self.seg_map_suffix))
        paths = (os.path.join(images, stem + self.img_suffix) for stem in stems)
        return sorted(path for path in paths if path not in known)

    def full_init(self) -> None:
        """Lists the files, and checks that some pixel has a class."""
        if not self._fully_initialized:
            super().full_init()
            self._require_labels()

    def _require_labels(self) -> None:
        """Raises DataError if every mask is ignored as a whole. Reads no further than to the first label."""
        loader = next((step for step in self.pipeline.transforms if isinstance(step, LoadSegAnnotations)), None)
        if loader is None or not len(self):
            return
        for i in range(len(self)):
            if (loader.transform(self.get_data_info(i))['gt_seg_map'] != IGNORED).any():
                return
        raise DataError(
            f'no pixel of the {len(self)} masks in {self.data_prefix["seg_map_path"]} has a class: all are '
            f'ignored (0 with reduce_zero_label, {IGNORED}, or a class that metainfo leaves out); nothing could be '
            'learnt or scored'
        )


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Loads `img_path` as `img`, uint8 [H, W, 3] in the order blue, green, red; sets `img_shape` and `ori_shape`.

    See `a2sg_zoo.datasets.pictures.read_picture` for how a picture is read.

    Args:
        backend_args: MMEngine's file backend; the local disk by default.

    Raises:
        DataError: the file is missing, cut short, or no picture. Flipped bits in the middle of a JPEG cannot be told
            from a picture, and pass.
    """

    def __init__(self, backend_args: dict | None = None) -> None:
        super().__init__(backend_args=backend_args)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Adds the image to the results, and returns them."""
        path = results['img_path']
        with _open(path, self.backend_args, 'image') as file:
            image, orientation = decode_picture(file, f'image {path}')
        image = np.ascontiguousarray(image[..., ::-1])
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2], exif_orientation=orientation)
        return results


@TRANSFORMS.register_module()
class LoadSegAnnotations(LoadAnnotations):
    """Loads `seg_map_path` as `gt_seg_map`, uint8 [H, W], and checks it.

    The file has one channel, palette or grey; its indices are the labels. With the data set's `reduce_zero_label`,
    1..num_classes become 0..num_classes - 1, and 0 becomes 255, ignored. A raw 255 stays 255: marks of ignored pixels.
    Where the data set says that its masks are in colours, each colour is looked up in the data set's list.

    Args:
        num_classes: of the files, not of a subset that the data set's metainfo may choose; by default what the data
            set says. If it says nothing, all labels up to 254 pass here.
        backend_args: MMEngine's file backend; the local disk by default.

    Raises:
        DataError: the file is missing, damaged, not of one channel, of another size than the image, or holds a label
            beyond the classes, or a colour that is none of theirs.
        ConfigError: there are so many classes that 255 would be one of them.
    """

    def __init__(self, num_classes: int | None = None, backend_args: dict | None = None) -> None:
        super().__init__(backend_args=backend_args)
        self.num_classes = num_classes
        self._warned = False

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        path, shift = results['seg_map_path'], int(results['reduce_zero_label'])
        classes = self.num_classes or results.get('num_labels') or IGNORED - shift
        if classes + shift > IGNORED:
            raise ConfigError(
                f'LoadSegAnnotations: with num_classes = {classes}, the label {IGNORED} would be a class, but '
                'it marks ignored pixels'
            )
        colours = results.get('mask_colours')
        with _open(path, self.backend_args, 'mask') as file:
            if colours is None:
                labels = decode_mask(file, f'mask {path}')
            else:
                labels = labels_of_colours(decode_picture(file, f'mask {path}')[0], colours, f'mask {path}')
        self._check_size(labels.shape, results)
        ignored = labels == IGNORED
        wrong = (labels >= classes + shift) & ~ignored
        if wrong.any():
            values = ', '.join(map(str, np.unique(labels[wrong])[:10].tolist()))
            raise DataError(
                f'mask {path} holds the label {values}; labels of classes are {shift}..{classes - 1 + shift}, and '
                f'{IGNORED} is ignored'
            )
        # uint8 arithmetic on purpose: 0 - 1 is 255
        labels = np.where(ignored, np.uint8(IGNORED), labels.astype(np.uint8) - np.uint8(shift))
        if results.get('label_map') is not None:
            table = np.arange(256, dtype=np.uint8)
            table[list(results['label_map'])] = list(results['label_map'].values())
            labels = table[labels]
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')

    def _check_size(self, shape: tuple[int, ...], results: dict[str, Any]) -> None:
        """Raises DataError where mask and image differ in size; warns where the mask may have been drawn on the pixels
        as they are stored, before the image was turned."""
        path, image, expected = results['seg_map_path'], results['img_path'], tuple(results.get('ori_shape', shape))
        # only here where the image was loaded before
        orientation = results.get('exif_orientation', 1)
        if shape == expected:
            if orientation != 1 and not self._warned:
                self._warned = True  # one such image tells of all
                print_log(
                    f'image {image} is stored turned (EXIF orientation {orientation}) and is read upright; its '
                    f'mask {path} is taken to be drawn on the upright image. If annotations were drawn on the '
                    'stored pixels, remove the EXIF orientation from the images',
                    'current',
                    logging.WARNING,
                )
            return
        advice = 'they do not belong together'
        if shape == expected[::-1] and orientation_of(image) in (5, 6, 7, 8):
            advice = (
                f'it was drawn on the stored pixels, and the EXIF orientation {orientation_of(image)} of the image '
                'turns them: remove that orientation from the image, or turn the annotation'
            )
        raise DataError(
            f'mask {path} is {_size(shape)} (width x height), but its image {image} is {_size(expected)}; ' + advice
        )


def labels_of_colours(image: np.ndarray, colours: Sequence[Sequence[int] | None], name: str) -> np.ndarray:
    """The labels of a mask that is drawn in colours.

    Args:
        image: uint8 (H, W, 3), red first.
        colours: [red, green, blue] of label 0, 1, ...; a colour that comes after the last class is ignored, see
            `MaskFolder`.
        name: what the message calls the mask.

    Returns:
        uint8 (H, W).

    Raises:
        DataError: a pixel has a colour that is not among them; the message names it.

    Example:
        >>> labels_of_colours(np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8), [[0, 0, 0], [255, 0, 0]], 'mask')
        array([[1, 0]], dtype=uint8)
    """
    weights = np.array([1 << 16, 1 << 8, 1])
    known = np.asarray(colours, np.int64) @ weights
    values, where = np.unique(image.astype(np.int64) @ weights, return_inverse=True)
    strange = ~np.isin(values, known)
    if strange.any():
        shown = ', '.join(str([int(v) >> 16, int(v) >> 8 & 255, int(v) & 255]) for v in values[strange][:5])
        raise DataError(
            f'{name} has the colour {shown} (red, green, blue), which no class has; the palette is not that of these '
            'masks, or they were saved as JPEG or resized with interpolation'
        )
    order = known.argsort()
    return order[np.searchsorted(known, values, sorter=order)][where].astype(np.uint8).reshape(image.shape[:2])


def _missing(paths: Sequence[str]) -> list[str]:
    """Those of `paths` that are not files. Each folder is listed once."""
    missing = []
    for folder, group in groupby(paths, os.path.dirname):
        names = os.listdir(folder) if os.path.isdir(folder) else ()
        there = {name for name in names if os.path.isfile(os.path.join(folder, name))}
        missing += [path for path in group if os.path.basename(path) not in there]
    return missing


def _open(path: str, backend_args: dict | None, what: str) -> BinaryIO:
    if backend_args is None:
        return open_file(path, what)
    try:
        return io.BytesIO(fileio.get(path, backend_args=backend_args))
    except OSError as error:
        raise DataError(f'{what} {path} cannot be read: {error.strerror or error}') from error


def _size(shape: Sequence[int]) -> str:
    return f'{shape[1]} x {shape[0]}'
