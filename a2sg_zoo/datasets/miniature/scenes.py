"""The embedded miniature set: street scenes that are drawn when they are needed, in the layout of ADE20K.

A pinhole camera looks down a street. Houses, trees, cars and persons have sizes in metres, so perspective and occlusion
are right. Classes share colours on purpose (grey houses and grey roads, blue glass and blue sky, green cars and green
trees): a network must use shape, texture and place.
"""

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image, ImageDraw

from a2sg_zoo.datasets.miniature.scene_canvas import (
    BUILDING,
    CAR,
    OVERSAMPLING,
    PERSON,
    ROAD,
    SKY,
    TREE,
    UNLABELLED,
    Canvas,
    stretch,
)
from a2sg_zoo.datasets.miniature.scene_parts import car_across, car_ahead, house_ahead, house_beside, person, tree
from a2sg_zoo.errors import DataError
from a2sg_zoo.hub.files import mark_as_cache

# raise it when the pictures change: folders of another version are drawn again
VERSION = 1
MANIFEST = 'scenes.json'

# colours of roads, sRGB, 0 to 1
_ROADS = [
    (0.36, 0.36, 0.38),
    (0.46, 0.45, 0.44),
    (0.27, 0.27, 0.30),
    (0.55, 0.51, 0.46),
    (0.42, 0.38, 0.34),
    (0.62, 0.61, 0.60),
]

# strength of the fine, middle and coarse grain, and of horizontal courses, per class
_GRAIN = {
    UNLABELLED: (0.05, 0.03, 0.03, 0),
    BUILDING: (0.04, 0.03, 0.05, 0.03),
    SKY: (0.006, 0.006, 0.01, 0),
    TREE: (0.10, 0.12, 0.05, 0),
    ROAD: (0.055, 0.04, 0.07, 0),
    PERSON: (0.05, 0.03, 0, 0),
    CAR: (0.02, 0.02, 0.03, 0),
}
_GRAIN_OF = np.zeros((256, 4), np.float32)
_GRAIN_OF[list(_GRAIN)] = list(_GRAIN.values())


def draw_scene(seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Draws one scene; the same seed and size give the same scene.

    Args:
        seed: a non-negative integer.
        size: height and width in pixels.

    Returns:
        image uint8 [size, size, 3], red first, and label uint8 [size, size] with SceneParse150's ids: 0 unlabelled,
        2 building, 3 sky, 5 tree, 7 road, 13 person, 21 car.
    """
    return draw_objects(seed, size)[:2]


def draw_objects(seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws one scene, and numbers its persons and cars.

    Args:
        seed: a non-negative integer.
        size: height and width in pixels.

    Returns:
        image and label of `draw_scene`, and uint8 [size, size] with the number of the person or car that is seen at
        each pixel, 0 where there is none.
    """
    rng, noise = random.Random(seed), np.random.RandomState(seed % 2**32)
    canvas = Canvas(rng, size)
    half = rng.uniform(3.2, 6.5)
    pavements = [rng.choice((0, 1, 1.8)) for _ in range(2)]
    canvas.paint_sky(noise)
    _ground(canvas, half, pavements)
    things = _place(rng, half, pavements)
    _shadows(canvas, things, half)
    _backdrop(canvas)
    for side, width in zip((-1, 1), pavements):
        z, tallest = rng.uniform(5, 9), rng.choice((8, 12, 20))
        while rng.random() < 0.85 and z < 40:
            depth, height = rng.uniform(7, 14), tallest * rng.uniform(0.6, 1)
            # behind the trees and cars before it: a house counts where its wall ends
            things.append(
                (
                    lambda c, x, far, d=depth, h=height: house_beside(c, x, far - d, d, h),
                    side * (half + width + 0.5),
                    z + depth,
                    0,
                )
            )
            z += depth + rng.choice((0, 0, 0, 4))
    for canvas.thing, (draw, x, z, _) in enumerate(sorted(things, key=lambda thing: -thing[2]), 1):
        draw(canvas, x, z)

    label, objects = (np.array(x)[1::OVERSAMPLING, 1::OVERSAMPLING] for x in (canvas.label, canvas.objects))
    image = np.asarray(canvas.image.reduce(OVERSAMPLING), np.float32)
    return _develop(image, label, rng, noise), label, objects


def write_scenes(root: str | os.PathLike, train: int = 400, val: int = 100, size: int = 128) -> Path:
    """Draws a set into the folder `root`, in ADE20K's layout: images/{training,validation}/*.jpg and
    annotations/{training,validation}/*.png.

    The folder appears completely or not at all. A folder that already holds the same set is left as it is; a set of
    another version, size or number of scenes is replaced. A second process waits for the first one.

    Args:
        root: the folder; its parents are made.
        train, val: numbers of scenes in the two splits.
        size: height and width in pixels.

    Returns:
        root, a Path.

    Raises:
        DataError: `root` holds something else.
    """

    def write(part: Path) -> None:
        for number, (split, count) in enumerate((('training', train), ('validation', val))):
            _write_split(part, split, range(number * 10**6, number * 10**6 + count), size)

    return write_set(root, dict(train=train, val=val, size=size), write)


def write_set(root: str | os.PathLike, settings: dict[str, Any], write: Callable[[Path], None]) -> Path:
    """Fills the folder of a drawn set, unless it holds that set already; see `write_scenes`.

    Args:
        root: the folder; its parents are made.
        settings: what tells this set from others.
        write: is called with the path of a new folder, which gets the name `root` when it is complete.

    Raises:
        DataError: `root` holds something else.
    """
    root = Path(root)
    wanted = dict(version=VERSION, **settings)
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f'{root}.lock'):
        if root.exists() and any(root.iterdir()):
            if not (root / MANIFEST).is_file():
                raise DataError(
                    f'{root.absolute()} is in use: it holds files, but not {MANIFEST} of a drawn set; '
                    'choose another folder, or empty this one'
                )
            if json.loads((root / MANIFEST).read_text()) == wanted:
                return root
        part = root.with_name(root.name + '.part')
        if part.exists():  # of a process that was killed: whoever is alive and draws holds the lock
            shutil.rmtree(part)
        write(part)
        (part / MANIFEST).write_text(json.dumps(wanted))
        mark_as_cache(part)
        if root.exists():
            shutil.rmtree(root)
        os.rename(part, root)
    return root


def _write_split(root, split, seeds, size):
    images, annotations = root / 'images' / split, root / 'annotations' / split
    for folder in (images, annotations):
        folder.mkdir(parents=True)
    for seed in seeds:
        image, label = draw_scene(seed, size)
        Image.fromarray(image).save(images / f'scene_{seed:08d}.jpg', quality=95)
        Image.fromarray(label).save(annotations / f'scene_{seed:08d}.png')


def _ground(canvas, half, pavements):
    """The road, `half` metres to either side, with its markings, and pavements (left, right) in metres."""
    rng, far = canvas.rng, 300
    rgb = rng.choice(_ROADS)
    canvas.polygon([(-3000, 0, far), (3000, 0, far), (3000, 0, 0.8), (-3000, 0, 0.8)], rgb, ROAD)
    for z in (40, 20, 11, 7):  # nearer strips hide the haze of the farther ones
        canvas.polygon([(-400, 0, z), (400, 0, z), (400, 0, 0.3), (-400, 0, 0.3)], rgb)
    for side, width in zip((-1, 1), pavements):
        stone = [channel * rng.uniform(0.9, 1.3) for channel in rng.choice(_ROADS)]
        for z in (far, 40, 20, 11) if width else ():
            near, edge = side * half, side * (half + width)
            canvas.polygon([(near, 0, z), (edge, 0, z), (edge, 0, 0.3), (near, 0, 0.3)], stone, UNLABELLED)
            canvas.polygon(
                [(near, 0, z), (near + side * 0.2, 0, z), (near + side * 0.2, 0, 0.3), (near, 0, 0.3)], stone, shade=0.7
            )
    paint = rng.choice(((0.88, 0.87, 0.84), (0.85, 0.70, 0.30)))
    if rng.random() < 0.75:
        for z in np.arange(2, 60, 5):
            canvas.polygon([(-0.08, 0, z), (0.08, 0, z), (0.08, 0, z + 2.4), (-0.08, 0, z + 2.4)], paint)
    if rng.random() < 0.35:
        z = rng.uniform(4, 14)
        for x in np.arange(-half + 0.3, half - 0.5, 1.0):
            canvas.polygon([(x, 0, z), (x + 0.5, 0, z), (x + 0.5, 0, z + 2.5), (x, 0, z + 2.5)], (0.86, 0.86, 0.84))


def _shadows(canvas, things, half):
    mask = Image.new('L', canvas.image.size)
    draw = ImageDraw.Draw(mask)
    for _, x, z, reach in things:
        u, v = canvas.project(x - canvas.sun * reach * 0.6, 0, z)
        a, b = canvas.pixels(reach, z), canvas.pixels(canvas.eye * 0.3 * reach / z + 0.1, z)
        draw.ellipse((u - a, v - b, u + a, v + b), 255)
    if abs(canvas.sun) > 0.5:  # the row of houses on the sun's side
        side, deep = math.copysign(half, canvas.sun), canvas.rng.uniform(0.3, 1.4) * half
        draw.polygon(
            [
                canvas.project(*p)
                for p in (
                    (side * 3, 0, 1),
                    (side * 3, 0, 80),
                    (side - math.copysign(deep, canvas.sun), 0, 80),
                    (side - math.copysign(deep, canvas.sun), 0, 1),
                )
            ],
            200,
        )
    canvas.darken(mask, canvas.rng.uniform(0.15, 0.55) * min(1, canvas.light[0]))


def _backdrop(canvas):
    """Houses and trees across the far end of the street."""
    rng, z = canvas.rng, canvas.rng.choice((35, 60, 110))
    reach = 0.75 * canvas.size / canvas.focal * z
    x, tallest = -reach, rng.choice((9, 14, 26))
    while x < reach:
        width = rng.uniform(7, 16)
        if rng.random() < 0.78:
            house_ahead(canvas, x, z + rng.uniform(0, 6), width, rng.uniform(0.45, 1) * tallest)
        elif rng.random() < 0.6:
            tree(canvas, x + width / 2, z, rng.uniform(6, 11))
        x += width * rng.uniform(0.9, 1.1)


def _place(rng, half, pavements):
    """What stands on the ground: tuples (draw, x, z, reach of its shadow), all but the houses."""
    things = []
    for side, width in zip((-1, 1), pavements):
        if rng.random() < 0.6:
            z = rng.uniform(5, 12)
            while z < 45:
                things.append(
                    (
                        lambda c, x, z: tree(c, x, z, c.rng.uniform(4.5, 8.5)),
                        side * (half + max(width, 1) * rng.uniform(0.3, 1.2)),
                        z,
                        2,
                    )
                )
                z += rng.uniform(5, 14)
    for _ in range(rng.choice((1, 2, 3, 3, 4))):
        if rng.random() < 0.35:
            things.append((car_across, rng.uniform(-4, 4), rng.uniform(7.5, 16), 2.2))
        else:
            lane = rng.choice((-1, 1))
            things.append(
                (
                    lambda c, x, z: car_ahead(c, x, z, x < 0),
                    lane * half * rng.uniform(0.4, 0.8),
                    rng.uniform(4.5, 18),
                    1.2,
                )
            )
    for _ in range(rng.choice((2, 3, 4, 5, 6))):
        things.append((person, rng.uniform(-1, 1) * (half + 1), rng.uniform(3, 9), 0.4))
    return things


def _develop(image, label, rng, noise):
    """Gives the classes their grain, and the picture uneven light and a sensor's noise."""
    size = len(label)
    fields = np.stack(
        [
            noise.standard_normal((size, size)),
            stretch(noise.standard_normal((size // 4, size // 4)), size),
            stretch(noise.standard_normal((6, 6)), size),
            np.broadcast_to(np.where(np.arange(size) // 2 % 2, 1, -1)[:, None], (size, size)),
        ],
        -1,
    ).astype(np.float32)
    grain = np.einsum('hwk,hwk->hw', fields, _GRAIN_OF[label])
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + rng.uniform(-0.12, 0.12) * ramp[None] + rng.uniform(-0.08, 0.08) * ramp[:, None]
    image = image * ((1 + grain) * light)[..., None]
    image += noise.standard_normal(image.shape).astype(np.float32) * rng.uniform(1, 6)
    return image.clip(0, 255).astype(np.uint8)
