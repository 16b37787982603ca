"""The drawn street scenes with an annotation file of their persons and cars, in COCO's format."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from a2sg_zoo.datasets.coco_file import import_mask_tools
from a2sg_zoo.datasets.miniature.scene_canvas import CAR, PERSON
from a2sg_zoo.datasets.miniature.scenes import draw_objects, write_set

# COCO's ids and names
CATEGORIES = {PERSON: dict(id=1, name='person'), CAR: dict(id=3, name='car')}
# smaller objects are crowd regions: nobody could tell what they are
LEAST_PIXELS = 24


def write_objects(root: str | os.PathLike, train: int = 400, val: int = 100, size: int = 128) -> Path:
    """Draw scenes into the folder `root`: {train,val}/*.jpg and annotations/instances_{train,val}.json.

    A box and a mask show what is seen of an object. Objects of fewer than `LEAST_PIXELS` seen pixels are crowd regions.
    Scenes are those of `write_scenes` with the same numbers. The folder appears completely or not at all, and one that
    holds the same set is left as it is.

    Args:
        root: folder; its parents are made.
        train: number of scenes to train on.
        val: number of scenes for the validation.
        size: height and width in pixels.

    Returns:
        `root` as a Path.

    Raises:
        DataError: `root` holds something else.
        ConfigError: pycocotools is not installed.
    """
    import_mask_tools()

    def write(part: Path) -> None:
        (part / 'annotations').mkdir(parents=True)
        for number, (split, count) in enumerate((('train', train), ('val', val))):
            (part / split).mkdir()
            contents: dict[str, list] = dict(images=[], annotations=[], categories=[*CATEGORIES.values()])
            for seed in range(number * 10**6, number * 10**6 + count):
                image, label, objects = draw_objects(seed, size)
                name = f'scene_{seed:08d}.jpg'
                Image.fromarray(image).save(part / split / name, quality=95)
                contents['images'].append(dict(id=seed, file_name=name, height=size, width=size))
                for found in annotate(label, objects):
                    contents['annotations'].append(dict(found, id=len(contents['annotations']) + 1, image_id=seed))
            (part / 'annotations' / f'instances_{split}.json').write_text(json.dumps(contents))

    return write_set(root, dict(layout='coco', train=train, val=val, size=size), write)


def annotate(label: np.ndarray, objects: np.ndarray) -> list[dict[str, Any]]:
    """Return the annotations of a scene, without id and image_id.

    Args:
        label: uint8 (H, W), SceneParse150's ids.
        objects: uint8 (H, W), the number of the person or car at each pixel, 0 where there is none.
    """
    tools, found = import_mask_tools(), []
    for number in np.unique(objects[objects > 0]).tolist():
        mask = (objects == number) & np.isin(label, list(CATEGORIES))
        if not mask.any():
            continue
        run_lengths = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top = int(columns[0]), int(rows[0])
        found.append(
            dict(
                category_id=CATEGORIES[int(label[mask][0])]['id'],
                bbox=[left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                area=int(mask.sum()),
                iscrowd=int(mask.sum() < LEAST_PIXELS),
                segmentation=dict(size=list(mask.shape), counts=run_lengths['counts'].decode()),
            )
        )
    return found
