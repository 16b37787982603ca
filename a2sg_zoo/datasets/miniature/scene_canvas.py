"""The canvas of the embedded street scenes: image and label, with the camera and the light of a scene."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# SceneParse150's ids, as its annotation files have them
UNLABELLED, BUILDING, SKY, TREE, ROAD, PERSON, CAR = 0, 2, 3, 5, 7, 13, 21

OVERSAMPLING = 2

# colours of the sky at the zenith, of the sky at the horizon and of the light (sRGB, 0 to 1), and the share of windows
# that are lit
_HOURS = {
    'noon': ((0.30, 0.50, 0.80), (0.74, 0.84, 0.93), (1.04, 1.02, 0.98), 0),
    'overcast': ((0.60, 0.63, 0.67), (0.80, 0.81, 0.82), (0.82, 0.85, 0.88), 0.08),
    'morning': ((0.52, 0.66, 0.84), (0.95, 0.86, 0.72), (1.05, 0.95, 0.82), 0.04),
    'dusk': ((0.30, 0.28, 0.46), (0.93, 0.56, 0.34), (0.78, 0.58, 0.50), 0.35),
    'night': ((0.05, 0.07, 0.17), (0.20, 0.21, 0.34), (0.40, 0.42, 0.56), 0.45),
}


class Canvas:
    """Image and label of one scene, at several times their size, with the scene's camera and light.

    World coordinates are metres: x to the right of the camera, y above the ground, z into the picture.
    """

    def __init__(self, rng, size):
        self.rng = rng
        self.size = size * OVERSAMPLING
        self.image = Image.new('RGB', (self.size, self.size))
        self.label = Image.new('L', (self.size, self.size), UNLABELLED)
        # the number of the person or car at each pixel; `thing` is that of what is drawn now
        self.objects, self.thing = Image.new('L', (self.size, self.size)), 0
        self._draw = ImageDraw.Draw(self.image)
        self._mark, self._number = ImageDraw.Draw(self.label), ImageDraw.Draw(self.objects)
        self.focal = rng.uniform(0.85, 1.25) * self.size
        self.eye = rng.uniform(1.5, 3.2)
        self.vanishing = rng.uniform(0.3, 0.7) * self.size
        self.horizon = rng.uniform(0.4, 0.6) * self.size
        hour = rng.choices(list(_HOURS), (5, 3, 3, 2, 2))[0]
        self.zenith, self.haze, light, self.lit = _HOURS[hour]
        strength = rng.uniform(0.8, 1.1)
        self.light = [channel * strength * rng.uniform(0.95, 1.05) for channel in light]
        self.sun = rng.uniform(-1, 1)
        self.visibility = rng.choice((60, 150, 400))

    def project(self, x, y, z):
        return self.vanishing + self.focal * x / z, self.horizon + self.focal * (self.eye - y) / z

    def colour(self, rgb, z, shade=1.0, glowing=False):
        """What is seen of a surface of colour `rgb` at distance `z`."""
        clear = math.exp(-z / self.visibility)
        light = (1, 1, 1) if glowing else self.light
        return tuple(
            min(255, int(255 * (a * b * shade * clear + haze * (1 - clear))))
            for a, b, haze in zip(rgb, light, self.haze)
        )

    def polygon(self, points, rgb, label=None, **light):
        """Fills a polygon of world points; without a label, it is a detail of what lies under it."""
        flat = [self.project(*point) for point in points]
        self._draw.polygon(flat, self.colour(rgb, points[0][2], **light))
        if label is not None:
            self._mark.polygon(flat, label)
            self._number.polygon(flat, self.thing if label in (PERSON, CAR) else 0)

    def plane(self, z, points, rgb, label=None, **light):
        """A polygon of points (x, y) that faces the camera at distance `z`."""
        self.polygon([(x, y, z) for x, y in points], rgb, label, **light)

    def disc(self, x, y, z, radius, rgb, label=None, squash=1.0, **light):
        """An ellipse that faces the camera, of `radius` and `radius * squash` metres."""
        u, v = self.project(x, y, z)
        a = self.focal * radius / z
        box = (u - a, v - a * squash, u + a, v + a * squash)
        self._draw.ellipse(box, self.colour(rgb, z, **light))
        if label is not None:
            self._mark.ellipse(box, label)
            self._number.ellipse(box, self.thing if label in (PERSON, CAR) else 0)

    def pixels(self, metres, z):
        return self.focal * metres / z

    def darken(self, mask, strength):
        """Darkens the image where `mask`, an 'L' image, is bright."""
        mask = mask.filter(ImageFilter.BoxBlur(self.size / 128)).point(lambda value: value * strength)
        self.image.paste((0, 0, 0), mask=mask)

    def paint_sky(self, noise):
        ramp = (np.arange(self.size) / self.horizon).clip(0, 1)[:, None] ** self.rng.uniform(0.7, 1.6)
        gradient = (1 - ramp) * np.array(self.zenith) + ramp * np.array(self.haze)
        clouds = stretch(noise.standard_normal((5, 4)), self.size) + 0.5 * stretch(
            noise.standard_normal((14, 10)), self.size
        )
        cover = (clouds * self.rng.uniform(0.3, 0.8) + self.rng.uniform(-0.6, 0.3)).clip(0, 0.8)[..., None]
        bright = np.array([min(1, channel * 1.05) for channel in self.light]) * 0.93
        sky = gradient[:, None] * (1 - cover) + bright * cover
        self.image.paste(Image.fromarray((255 * sky.clip(0, 1)).astype(np.uint8)))
        self.label.paste(SKY, (0, 0, self.size, self.size))


def stretch(array, size):
    """A coarse field [h, w] as a smooth one [size, size]."""
    return np.asarray(Image.fromarray(array.astype(np.float32)).resize((size, size), Image.BICUBIC))
