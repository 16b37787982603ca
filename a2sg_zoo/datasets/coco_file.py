"""Annotation files in COCO's format: read, and checked to the last box before anything is trained."""

import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from a2sg_zoo.datasets.classes import checked_names, listed
from a2sg_zoo.errors import ConfigError, DataError, printable
from a2sg_zoo.utils.checks import is_integer, is_number

# pixels by which a box may stand out of its picture: files round
_TOLERANCE = 1.0
# pixels from which on a polygon's corner is wrong; pycocotools walks along each side, and crashes far out
_FARTHEST = 100_000
_SHOWN = 5


class AnnotationFile:
    """The contents of an annotation file in COCO's format.

    Args:
        path: of the JSON file, with `images`, `annotations` and `categories`.
        classes: names of the classes, in the order of their labels, out of the file's categories; None for all of them,
            in the order of their ids. Objects of other categories are left out.
        faulty: what becomes of objects whose box has no area or is outside their picture, or whose segmentation is
            missing or broken: 'refuse' or 'skip'.
        need_masks: whether every object and crowd region needs a segmentation. Without it, a broken one is left out.

    Attributes:
        classes: names of the classes.
        pictures: for each picture dict(id=, file_name=, height=, width=, annotations=[...]). An annotation is dict(id=,
            label=, bbox=[x, y, width, height], area=, iscrowd=0 or 1), and `segmentation` if the file has a right one.

    Raises:
        DataError: the file is missing, damaged or empty, or contradicts itself; the message names file and ids.
        ConfigError: `classes` names an unknown one, or `faulty` is another text.
    """

    def __init__(
        self, path: str | Path, classes: Sequence[str] | None = None, faulty: str = 'refuse', need_masks: bool = False
    ):
        if faulty not in ('refuse', 'skip'):
            raise ConfigError(f"COCO: faulty must be 'refuse' or 'skip', got {faulty!r}")
        self.path, self._need_masks = Path(path), need_masks
        self._problems: list[str] = []
        contents = self._read()
        labels = self._read_categories(contents['categories'], classes)
        pictures = self._read_pictures(contents['images'])
        faults = self._read_annotations(contents['annotations'], pictures, labels)
        self.pictures = list(pictures.values())
        self._raise_problems()
        if faults and faulty == 'refuse':
            self._problems = faults
            self._raise_problems("; correct the file, or leave such objects out with the data set's faulty='skip'")
        if faults:
            print_log(
                f'annotation file {self.path}: {len(faults)} objects are left out: {"; ".join(faults[:_SHOWN])}',
                'current',
                logging.WARNING,
            )
        if not any(picture['annotations'] for picture in self.pictures):
            raise DataError(f'annotation file {self.path} has no object of the classes {listed(self.classes)}')

    def _raise_problems(self, advice: str = '') -> None:
        if self._problems:
            more = len(self._problems) - _SHOWN
            raise DataError(
                f'annotation file {self.path}: {"; ".join(self._problems[:_SHOWN])}'
                + (f'; and {more} more' if more > 0 else '')
                + advice
            )

    def _read(self) -> dict[str, list[dict]]:
        try:
            contents = json.loads(self.path.read_bytes())
        except OSError as error:
            raise DataError(f'annotation file {self.path} cannot be read: {error.strerror}') from error
        except (ValueError, RecursionError) as error:
            raise DataError(f'annotation file {self.path} is damaged: {printable(error)[:200]}') from error
        for key in ('images', 'annotations', 'categories'):
            part = contents.get(key) if isinstance(contents, dict) else None
            if not isinstance(part, list) or not all(isinstance(item, dict) for item in part):
                raise DataError(f"annotation file {self.path} is not in COCO's format: {key} must be a list of objects")
            if not part:
                raise DataError(f'annotation file {self.path} has no {key}: there is nothing to learn or to score')
            if key != 'categories' or all('id' in item for item in part):
                self._require_ids(key, part)
        return contents

    def _require_ids(self, key: str, items: list[dict]) -> None:
        wrong = next((item.get('id') for item in items if not is_integer(item.get('id'))), items)
        if wrong is not items:
            raise DataError(f'annotation file {self.path}: {key} has the id {wrong!r:.60}; ids must be integers')
        (number, count), *_ = Counter(item['id'] for item in items).most_common(1)
        if count > 1:
            raise DataError(f'annotation file {self.path}: {key} has the id {number} {count} times')

    def _read_categories(self, categories: list[dict], chosen: Sequence[str] | None) -> dict[int, int | None]:
        """{id of a category: its label, None for one that is not chosen}."""
        self._require_ids('categories', categories)
        names = {item['id']: item.get('name') for item in sorted(categories, key=lambda item: item['id'])}
        try:
            known = checked_names(list(names.values()), f'annotation file {self.path}: categories')
        except ConfigError as error:
            raise DataError(str(error)) from error
        names = dict(zip(names, known))
        self.classes = known
        if chosen is not None:
            self.classes = checked_names(chosen, 'COCO: classes')
            strange = [name for name in self.classes if name not in known]
            if strange:
                raise ConfigError(
                    f'COCO: classes names {listed(strange)}, but the categories of annotation file {self.path} are '
                    f'{listed(known)}'
                )
        labels = {name: label for label, name in enumerate(self.classes)}
        return {number: labels.get(name) for number, name in names.items()}

    def _read_pictures(self, images: list[dict]) -> dict[int, dict[str, Any]]:
        pictures = {}
        for image in images:
            size, name = (image.get('height'), image.get('width')), image.get('file_name')
            if not isinstance(name, str) or not name:
                self._problems.append(f'image {image["id"]} has no file_name')
            elif not all(is_integer(x) and x > 0 for x in size):
                self._problems.append(f'image {image["id"]} ({printable(name)}) has no height and width')
            else:
                pictures[image['id']] = dict(
                    id=image['id'], file_name=name, height=size[0], width=size[1], annotations=[]
                )
        self._raise_problems()
        return pictures

    def _read_annotations(self, annotations: list[dict], pictures: dict, labels: dict) -> list[str]:
        """Give the annotations to their pictures; returns what is wrong with objects that may be left out."""
        faults = []
        for item in annotations:
            # a list would be no key
            image, category = (x if is_number(x) else None for x in (item.get('image_id'), item.get('category_id')))
            picture = pictures.get(image)
            where = f'annotation {item["id"]}'
            if picture is None:
                self._problems.append(
                    f'{where} belongs to image {item.get("image_id")!r:.40}, which is not in the file'
                )
                continue
            where += f' of image {picture["id"]} ({printable(picture["file_name"])})'
            if category not in labels:
                self._problems.append(
                    f'{where} has the category_id {item.get("category_id")!r:.40}, which is no category of the file'
                )
                continue
            if labels[category] is None:
                continue
            box, crowd = item.get('bbox'), item.get('iscrowd', 0)
            if not (isinstance(box, list) and len(box) == 4 and all(is_number(x) and math.isfinite(x) for x in box)):
                self._problems.append(f'{where}: bbox must be [x, y, width, height], got {box!r:.60}')
                continue
            if crowd not in (0, 1):
                self._problems.append(f'{where}: iscrowd must be 0 or 1, got {crowd!r:.40}')
                continue
            if (fault := _fault_of_box(box, picture)) is not None:
                faults.append(f'{where}: bbox {box} {fault}')
                continue
            kept = dict(
                id=item['id'],
                label=labels[category],
                bbox=box,
                area=item['area'] if is_number(item.get('area')) else box[2] * box[3],
                iscrowd=int(crowd),
            )
            segmentation = item.get('segmentation')
            if segmentation or self._need_masks:
                if (fault := _fault_of_segmentation(segmentation, picture)) is None:
                    kept['segmentation'] = segmentation
                elif self._need_masks:
                    faults.append(f'{where}: segmentation {fault}')
                    continue
            picture['annotations'].append(kept)
        return faults


def _fault_of_box(box: list[float], picture: dict[str, Any]) -> str | None:
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return 'has no area'
    low, right, bottom = -_TOLERANCE, picture['width'] + _TOLERANCE, picture['height'] + _TOLERANCE
    if x < low or y < low or x + width > right or y + height > bottom:
        return f'is outside the picture, which is {picture["width"]} x {picture["height"]} (width x height)'
    return None


def _fault_of_segmentation(segmentation: Any, picture: dict[str, Any]) -> str | None:
    if isinstance(segmentation, dict):
        size = segmentation.get('size')
        if size != [picture['height'], picture['width']]:
            return f'has the size {size!r:.40}, but the picture has {[picture["height"], picture["width"]]}'
        counts = segmentation.get('counts')
        runs = _run_lengths(counts) if isinstance(counts, str) else counts
        if not isinstance(runs, list) or not all(is_integer(run) and run >= 0 for run in runs):
            return f'has counts that are no run lengths: {counts!r:.40}'
        pixels = math.prod(size)
        return None if sum(runs) == pixels else f'has counts of {sum(runs)} pixels, but its size has {pixels}'
    if not isinstance(segmentation, list) or not segmentation:
        return 'is missing: masks are learnt or scored here'
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return 'must have polygons [x1, y1, x2, y2, x3, y3, ...]'
        if not all(is_number(x) and abs(x) < _FARTHEST for x in polygon):
            return f'has a polygon with something that is no number of pixels below {_FARTHEST:,}'
    return None


def _run_lengths(text: str) -> list[int] | None:
    """The run lengths that a compressed text of COCO holds; None if the text is broken.

    A character holds 5 bits of a number, lowest first, and a bit that says whether more follow. From the fourth number
    on, numbers are differences from the one two before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            sign = (bits & 16) << shift - 4
            runs.append(value - sign + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs


def import_mask_tools() -> Any:
    """Return pycocotools' module of masks.

    Raises:
        ConfigError: pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ConfigError('detection needs pycocotools: pip install "a2sg-zoo[detection]"') from error
    return mask


def encode_segmentation(segmentation: list | dict, height: int, width: int) -> dict[str, Any]:
    """Return a segmentation (polygons, or run lengths as a list or a text) as pycocotools' compressed run lengths.

    Args:
        segmentation: as an annotation has it.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
    """
    tools = import_mask_tools()
    if isinstance(segmentation, list):
        return tools.merge(tools.frPyObjects(segmentation, height, width))
    if isinstance(segmentation['counts'], list):
        return tools.frPyObjects(segmentation, height, width)
    return segmentation


def decode_segmentation(segmentation: list | dict, height: int, width: int) -> Any:
    """Return the mask of a segmentation, uint8 (height, width) of 0 and 1; see `encode_segmentation`.

    >>> decode_segmentation([[0, 0, 2, 0, 2, 2, 0, 2]], 3, 3).tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    return import_mask_tools().decode(encode_segmentation(segmentation, height, width))
