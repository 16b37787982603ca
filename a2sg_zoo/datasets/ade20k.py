"""SceneParse150, the 150-class benchmark of ADE20K, read so that trouble with the files is named at once."""

import contextlib
import io
import os
from itertools import groupby

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image

from a2sg_zoo.datasets.seeding import SeededItems
from a2sg_zoo.errors import DataError
from a2sg_zoo.registry import DATASETS, TRANSFORMS

with contextlib.redirect_stdout(None):  # it prints that an optional package is missing
    from mmseg.datasets import ADE20KDataset
    from mmseg.datasets.transforms import LoadAnnotations

IGNORED = 255
# what a complete JPEG or PNG ends with
_ENDS = (b'\xff\xd9', b'IEND\xaeB`\x82')

_HOW_TO_GET = """Get the data set (1 GB) with
    python tools/download_dataset.py ade20k
or say where it lies: set the environment variable ADE20K_ROOT, or pass --cfg-options data_root=PATH, to the folder
that holds images/ and annotations/. To try things without it, pass --demo: that takes the embedded miniature set."""


@DATASETS.register_module(name='ADE20K')
class ADE20K(SeededItems, ADE20KDataset):
    """ADE20K SceneParse150 in the layout of ADEChallengeData2016.zip:

        data_root/images/{training,validation}/NAME.jpg
        data_root/annotations/{training,validation}/NAME.png    1..150, 0 = unlabelled

    An item's `gt_seg_map` holds 0..149, and 255 where the label counts for nothing. Indexed with a `SeededIndex`,
    an item is reproducible.

    Args:
        data_root: the folder above; by default that in the environment variable ADE20K_ROOT, or else
            data/ade/ADEChallengeData2016.
        pipeline: transforms, or their configs.
        **kwargs: those of `mmseg.datasets.BaseSegDataset`: data_prefix, indices, test_mode...

    Raises:
        DataError: a folder is missing or empty, or an image lacks its annotation.
    """

    def __init__(self, data_root=None, pipeline=(), **kwargs):
        root = data_root or os.environ.get('ADE20K_ROOT') or 'data/ade/ADEChallengeData2016'
        # built here, since MMEngine would look for the names in the default scope, which only a runner sets
        pipeline = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
        super().__init__(data_root=root, pipeline=pipeline, **kwargs)

    def load_data_list(self):
        folders = (('image', self.data_prefix['img_path']), ('annotation', self.data_prefix['seg_map_path']))
        for what, folder in folders:
            if not os.path.isdir(folder):
                raise DataError(f'ADE20K is not there: no {what} folder at {os.path.abspath(folder)}\n{_HOW_TO_GET}')
        data_list = super().load_data_list()
        if not data_list:
            raise DataError(
                f'ADE20K is empty: no image NAME{self.img_suffix} in {os.path.abspath(folders[0][1])}\n{_HOW_TO_GET}'
            )
        for what, key in (('image', 'img_path'), ('annotation', 'seg_map_path')):
            missing = _missing([item[key] for item in data_list])
            if missing:
                named = ', '.join(map(os.path.abspath, missing[:3])) + (', ...' if len(missing) > 3 else '')
                raise DataError(
                    f'ADE20K is incomplete: {len(missing)} of {len(data_list)} {what} files are missing: '
                    f'{named}\n{_HOW_TO_GET}'
                )
        return data_list


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Loads `img_path` as `img`, uint8 [H, W, 3] in the order blue, green, red; sets `img_shape` and `ori_shape`.

    Args:
        backend_args: MMEngine's file backend; the local disk by default.

    Raises:
        DataError: the file is missing, cut short, or no image. Flipped bits in the middle of a JPEG cannot be told
            from a picture, and pass.
    """

    def __init__(self, backend_args=None):
        super().__init__(backend_args=backend_args)

    def transform(self, results):
        path = results['img_path']
        data = _read(path, self.backend_args, 'image')
        try:
            # OpenCV, up to 4 times as fast as Pillow and equal to the bit, fills up what is missing of a truncated
            # file (which files, that depends on its version); so Pillow, which is strict, judges the suspicious ones
            if not data.endswith(_ENDS):
                Image.open(io.BytesIO(data)).load()
            image = mmcv.imfrombytes(data, flag='color', backend='cv2')
        except Exception as error:
            raise _damaged(path, 'image', error) from error
        if image is None:
            raise _damaged(path, 'image', 'no image that OpenCV can decode')
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results


@TRANSFORMS.register_module()
class LoadSegAnnotations(LoadAnnotations):
    """Loads `seg_map_path` as `gt_seg_map`, uint8 [H, W], and checks it.

    The file is a PNG of one 8-bit channel, palette or grey; its indices are the labels. With the data set's
    `reduce_zero_label`, 1..num_classes become 0..num_classes - 1, and 0 becomes 255, ignored. A raw 255 stays 255:
    SceneParse150 itself has none, but sets that were converted to its layout mark ignored pixels so.

    Args:
        num_classes: of the files, not of a subset that the data set's metainfo may choose.
        backend_args: MMEngine's file backend; the local disk by default.

    Raises:
        DataError: the file is missing, damaged, not of one 8-bit channel, of another size than the image, or holds
            a label beyond the classes.
    """

    def __init__(self, num_classes=150, backend_args=None):
        super().__init__(backend_args=backend_args)
        self.num_classes = num_classes

    def _load_seg_map(self, results):
        path = results['seg_map_path']
        labels = self._decode(path)
        expected = results.get('ori_shape', labels.shape)
        if labels.shape != tuple(expected):
            raise DataError(
                f'annotation {path} is {_size(labels.shape)} (width x height), but its image '
                f'{results["img_path"]} is {_size(expected)}; they do not belong together'
            )

        shift = int(results['reduce_zero_label'])
        # uint8 arithmetic on purpose: 0 - 1 is 255
        ignored = labels == IGNORED
        labels = np.where(ignored, labels, labels - np.uint8(shift))
        wrong = (labels >= self.num_classes) & (labels != IGNORED)
        if wrong.any():
            values = ', '.join(str(value + shift) for value in np.unique(labels[wrong])[:10].tolist())
            raise DataError(
                f'annotation {path} holds the label {values}; the {self.num_classes} classes are '
                f'{shift}..{self.num_classes - 1 + shift}, and {IGNORED} is ignored'
            )

        if results.get('label_map') is not None:
            table = np.arange(256, dtype=np.uint8)
            table[list(results['label_map'])] = list(results['label_map'].values())
            labels = table[labels]
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')

    def _decode(self, path):
        data = _read(path, self.backend_args, 'annotation')
        try:
            Image.open(io.BytesIO(data)).verify()  # the checksums of a PNG, which decoding skips; it uses up the image
            if data.startswith(b'\x89PNG') and _ENDS[1] not in data:
                raise ValueError('its last bytes are missing')
            image = Image.open(io.BytesIO(data))
            mode, labels = image.mode, np.array(image)
        except Exception as error:
            raise _damaged(path, 'annotation', error) from error
        if mode not in ('P', 'L'):
            raise DataError(
                f'annotation {path} has pixels of mode {mode}; needed is one 8-bit channel of class ids '
                "(Pillow's mode P or L)"
            )
        return labels


def _missing(paths):
    """Those of `paths` that do not exist, at the cost of one scan per folder."""
    missing = []
    for folder, group in groupby(paths, os.path.dirname):
        there = {entry.name for entry in os.scandir(folder)} if os.path.isdir(folder) else ()
        missing += [path for path in group if os.path.basename(path) not in there]
    return missing


def _read(path, backend_args, what):
    try:
        return fileio.get(path, backend_args=backend_args)
    except OSError as error:
        raise DataError(f'{what} {path} cannot be read: {error.strerror or error}') from error


def _damaged(path, what, reason):
    return DataError(f'{what} {path} is damaged ({reason}); fetch the data set again, or replace this file')


def _size(shape):
    return f'{shape[1]} x {shape[0]}'
