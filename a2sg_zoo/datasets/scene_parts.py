"""What the embedded street scenes are made of: the canvas with its camera and light, and the things on it."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# SceneParse150's ids, as its annotation files have them
UNLABELLED, BUILDING, SKY, TREE, ROAD, PERSON, CAR = 0, 2, 3, 5, 7, 13, 21

OVERSAMPLING = 2

# colours are sRGB, 0..1
_WALLS = [(.62, .60, .57), (.45, .45, .47), (.72, .64, .52), (.60, .38, .30), (.50, .33, .27), (.80, .77, .70),
          (.42, .52, .62), (.35, .40, .38), (.66, .72, .78), (.55, .58, .46), (.30, .30, .33)]
ROADS = [(.36, .36, .38), (.46, .45, .44), (.27, .27, .30), (.55, .51, .46), (.42, .38, .34), (.62, .61, .60)]
_LEAVES = [(.22, .42, .16), (.30, .48, .20), (.15, .30, .16), (.40, .44, .18), (.62, .44, .16), (.52, .26, .14),
           (.34, .32, .26), (.72, .55, .60)]
_PAINTS = [(.82, .82, .82), (.50, .51, .53), (.10, .10, .12), (.62, .12, .10), (.14, .24, .52), (.20, .34, .22),
           (.72, .62, .36), (.30, .31, .34), (.34, .52, .68), (.70, .36, .12)]
_CLOTHES = [(.12, .12, .16), (.55, .14, .16), (.18, .28, .52), (.80, .78, .74), (.24, .42, .28), (.74, .60, .24),
            (.46, .46, .48), (.42, .30, .46), (.36, .26, .20)]
_SKINS = [(.90, .74, .62), (.78, .58, .44), (.56, .38, .27), (.36, .24, .18)]

# the sky at the zenith and at the horizon, the colour of the light, and the share of windows that are lit
_HOURS = {
    'noon': ((.30, .50, .80), (.74, .84, .93), (1.04, 1.02, .98), 0),
    'overcast': ((.60, .63, .67), (.80, .81, .82), (.82, .85, .88), .08),
    'morning': ((.52, .66, .84), (.95, .86, .72), (1.05, .95, .82), .04),
    'dusk': ((.30, .28, .46), (.93, .56, .34), (.78, .58, .50), .35),
    'night': ((.05, .07, .17), (.20, .21, .34), (.40, .42, .56), .45)}

class Canvas:
    """Image and label of one scene, at several times their size, with the scene's camera and light.

    World coordinates are metres: x to the right of the camera, y above the ground, z into the picture.
    """

    def __init__(self, rng, size):
        self.rng = rng
        self.size = size * OVERSAMPLING
        self.image = Image.new('RGB', (self.size, self.size))
        self.label = Image.new('L', (self.size, self.size), UNLABELLED)
        self._draw = ImageDraw.Draw(self.image)
        self._mark = ImageDraw.Draw(self.label)
        self.focal = rng.uniform(.85, 1.25) * self.size
        self.eye = rng.uniform(1.5, 3.2)
        self.vanishing = rng.uniform(.3, .7) * self.size
        self.horizon = rng.uniform(.4, .6) * self.size
        hour = rng.choices(list(_HOURS), (5, 3, 3, 2, 2))[0]
        self.zenith, self.haze, light, self.lit = _HOURS[hour]
        strength = rng.uniform(.8, 1.1)
        self.light = [channel * strength * rng.uniform(.95, 1.05) for channel in light]
        self.sun = rng.uniform(-1, 1)
        self.visibility = rng.choice((60, 150, 400))

    def project(self, x, y, z):
        return self.vanishing + self.focal * x / z, self.horizon + self.focal * (self.eye - y) / z

    def colour(self, rgb, z, shade=1., glowing=False):
        """What is seen of a surface of colour `rgb` at distance `z`."""
        clear = math.exp(-z / self.visibility)
        light = (1, 1, 1) if glowing else self.light
        return tuple(min(255, int(255 * (a * b * shade * clear + haze * (1 - clear))))
                     for a, b, haze in zip(rgb, light, self.haze))

    def polygon(self, points, rgb, label=None, **light):
        """Fills a polygon of world points; without a label, it is a detail of what lies under it."""
        flat = [self.project(*point) for point in points]
        self._draw.polygon(flat, self.colour(rgb, points[0][2], **light))
        if label is not None:
            self._mark.polygon(flat, label)

    def plane(self, z, points, rgb, label=None, **light):
        """A polygon of points (x, y) that faces the camera at distance `z`."""
        self.polygon([(x, y, z) for x, y in points], rgb, label, **light)

    def disc(self, x, y, z, radius, rgb, label=None, squash=1., **light):
        """An ellipse that faces the camera, of `radius` and `radius * squash` metres."""
        u, v = self.project(x, y, z)
        a = self.focal * radius / z
        box = (u - a, v - a * squash, u + a, v + a * squash)
        self._draw.ellipse(box, self.colour(rgb, z, **light))
        if label is not None:
            self._mark.ellipse(box, label)

    def pixels(self, metres, z):
        return self.focal * metres / z

    def darken(self, mask, strength):
        """Darkens the image where `mask`, an 'L' image, is bright."""
        mask = mask.filter(ImageFilter.BoxBlur(self.size / 128)).point(lambda value: value * strength)
        self.image.paste((0, 0, 0), mask=mask)

    def paint_sky(self, noise):
        ramp = (np.arange(self.size) / self.horizon).clip(0, 1)[:, None] ** self.rng.uniform(.7, 1.6)
        gradient = (1 - ramp) * np.array(self.zenith) + ramp * np.array(self.haze)
        clouds = stretch(noise.standard_normal((5, 4)), self.size) + .5 * stretch(
            noise.standard_normal((14, 10)), self.size)
        cover = (clouds * self.rng.uniform(.3, .8) + self.rng.uniform(-.6, .3)).clip(0, .8)[..., None]
        bright = np.array([min(1, channel * 1.05) for channel in self.light]) * .93
        sky = gradient[:, None] * (1 - cover) + bright * cover
        self.image.paste(Image.fromarray((255 * sky.clip(0, 1)).astype(np.uint8)))
        self.label.paste(SKY, (0, 0, self.size, self.size))


def stretch(array, size):
    """A coarse field [h, w] as a smooth one [size, size]."""
    return np.asarray(Image.fromarray(array.astype(np.float32)).resize((size, size), Image.BICUBIC))


def _windows(canvas, quad, columns, rows, z, rgb, shade):
    """Rows of windows on a wall; `quad(s, t)` gives the wall's point at s along and t up, both 0..1."""
    rng = canvas.rng
    width, height = rng.uniform(.35, .75), rng.uniform(.4, .7)
    glass = rng.choice(((.16, .20, .26), (.10, .11, .13), (.38, .48, .58), tuple(c * .6 for c in rgb)))
    if canvas.pixels(1.5, z) < canvas.size / 128:  # too far to be seen, whatever the size of the picture
        return
    for column in range(columns):
        for row in range(rows):
            s, t = (column + (1 - width) / 2) / columns, (row + (1 - height) / 2) / rows
            ds, dt = width / columns, height / rows
            lit = rng.random() < canvas.lit
            canvas.polygon([quad(s, t), quad(s + ds, t), quad(s + ds, t + dt), quad(s, t + dt)],
                           (.98, .82, .50) if lit else glass, shade=.9 if lit else shade, glowing=lit)


def house_ahead(canvas, x, z, width, height):
    """A house whose front faces the camera."""
    rng = canvas.rng
    rgb, shade = rng.choice(_WALLS), rng.uniform(.85, 1.1)
    canvas.plane(z, [(x, 0), (x + width, 0), (x + width, height), (x, height)], rgb, BUILDING, shade=shade)
    if height < 12 and rng.random() < .7:
        roof = rng.choice(((.46, .22, .16), (.28, .27, .28), (.40, .32, .26)))
        canvas.plane(z, [(x - .4, height), (x + width + .4, height), (x + width / 2, height + width * .3)],
                     roof, BUILDING, shade=shade)
    else:
        canvas.plane(z, [(x - .2, height), (x + width + .2, height), (x + width + .2, height - .7),
                         (x - .2, height - .7)], rgb, shade=shade * .75)
    _windows(canvas, lambda s, t: (x + s * width, .8 + t * (height - 1.6), z), max(1, int(width / 3)),
             max(1, int(height / 3.3)), z, rgb, shade)


def house_beside(canvas, x, z, depth, height):
    """A house along the street: its long wall runs from z to z + depth at x, and its end faces the camera."""
    rng = canvas.rng
    rgb = rng.choice(_WALLS)
    side = math.copysign(1, x)
    end, wall = 1 + .12 * rng.uniform(-1, 1), 1 - .28 * side * canvas.sun
    canvas.plane(z, [(x, 0), (x + side * 14, 0), (x + side * 14, height), (x, height)], rgb, BUILDING, shade=end)
    canvas.polygon([(x, 0, z), (x, 0, z + depth), (x, height, z + depth), (x, height, z)], rgb, BUILDING, shade=wall)
    canvas.polygon([(x, height, z), (x, height, z + depth), (x, height - .8, z + depth), (x, height - .8, z)],
                   rgb, shade=wall * .7)
    plinth = rng.choice(_WALLS)
    canvas.polygon([(x, 0, z), (x, 0, z + depth), (x, 3, z + depth), (x, 3, z)], plinth, shade=wall * .8)
    _windows(canvas, lambda s, t: (x, .5 + 2.2 * t, z + s * depth), max(1, int(depth / 4)), 1, z, plinth, wall * .8)
    _windows(canvas, lambda s, t: (x, 3.2 + t * (height - 4.4), z + s * depth), max(1, int(depth / 2.8)),
             max(1, int((height - 4) / 3)), z, rgb, wall)


def tree(canvas, x, z, height):
    rng = canvas.rng
    rgb = rng.choice(_LEAVES)
    bark = rng.choice(((.30, .22, .16), (.24, .21, .19), (.42, .36, .30)))
    trunk = height * .022 + .06
    canvas.plane(z, [(x - trunk, 0), (x + trunk, 0), (x + trunk * .6, height * .6), (x - trunk * .6, height * .6)],
                 bark, TREE, shade=.85)
    if rng.random() < .25:  # a conifer
        for tier in range(4):
            low, spread = height * (.16 + .2 * tier), height * .27 * (1 - tier / 5)
            canvas.plane(z, [(x - spread, low), (x + spread, low), (x, low + height * .34)], rgb, TREE,
                         shade=.75 + .12 * tier)
        return
    crown, spread = height * .66, height * rng.uniform(.26, .36)
    blobs = [(x, crown, spread * .8)]
    for _ in range(11):
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(.4, .85)
        blobs.append((x + spread * far * math.cos(angle), crown + spread * far * math.sin(angle),
                      spread * rng.uniform(.28, .5)))
    for bx, by, radius in blobs:
        canvas.disc(bx, by, z, radius, rgb, TREE, shade=.72)
    for bx, by, radius in blobs * 3:  # clumps of leaves, lighter towards the sun and the sky
        dx, dy = rng.uniform(-.6, .6), rng.uniform(-.6, .6)
        glint = (bx - x) * canvas.sun / spread + (by - crown) / spread
        canvas.disc(bx + dx * radius, by + dy * radius, z, radius * rng.uniform(.15, .4), rgb,
                    shade=.92 + .22 * glint + rng.uniform(-.14, .14))


def car_ahead(canvas, x, z, towards):
    """A car that drives along the street, seen from behind or, `towards`, from the front."""
    rng = canvas.rng
    rgb = rng.choice(_PAINTS)
    wide, long, tall = .9, 4.2, rng.uniform(1.4, 1.9)
    belt, glass = tall * .58, (.10, .12, .15)
    flank = x - math.copysign(wide, x)  # the flank that the camera sees
    tuck = math.copysign(.15, x)
    canvas.polygon([(flank, .2, z), (flank, .2, z + long), (flank, belt, z + long), (flank, belt, z)],
                   rgb, CAR, shade=.7)
    canvas.polygon([(flank, belt, z + .3), (flank, belt, z + long - 1), (flank + tuck, tall, z + long - 1.6),
                    (flank + tuck, tall, z + .8)], glass, CAR)
    canvas.polygon([(x - .75, tall, z + .8), (x + .75, tall, z + .8), (x + .75, tall, z + long - 1.6),
                    (x - .75, tall, z + long - 1.6)], rgb, CAR, shade=1.1)
    for wheel in (z + .8, z + long - .9):
        ring = [(flank, .34 + .34 * math.sin(a), wheel + .36 * math.cos(a)) for a in np.arange(0, 2 * math.pi, .5)]
        canvas.polygon(ring, (.07, .07, .08), CAR)
    for wheel in (x - .72, x + .5):
        canvas.plane(z, [(wheel, 0), (wheel + .22, 0), (wheel + .22, .4), (wheel, .4)], (.06, .06, .07), CAR)
    canvas.plane(z, [(x - wide, .22), (x + wide, .22), (x + wide, belt * .8), (x + .84, belt), (x - .84, belt),
                     (x - wide, belt * .8)], rgb, CAR, shade=.95)
    canvas.plane(z, [(x - .84, belt), (x + .84, belt), (x + .7, tall), (x - .7, tall)], rgb, CAR, shade=.9)
    canvas.plane(z, [(x - .72, belt + .05), (x + .72, belt + .05), (x + .62, tall - .1), (x - .62, tall - .1)], glass)
    canvas.plane(z, [(x - wide, .22), (x + wide, .22), (x + wide, .42), (x - wide, .42)], (.16, .16, .17))
    lamp = (.98, .94, .80) if towards else (.80, .10, .08)
    for side in (-.82, .52):
        canvas.plane(z, [(x + side, belt * .62), (x + side + .3, belt * .62), (x + side + .3, belt * .84),
                         (x + side, belt * .84)], lamp, glowing=canvas.lit > .2)


def car_across(canvas, x, z):
    """A car that crosses, seen from the side."""
    rng = canvas.rng
    rgb, flip, tall = rng.choice(_PAINTS), rng.choice((-1, 1)), rng.uniform(1.4, 1.75)
    outline = [(-2.1, .3), (2.1, .3), (2.15, .7), (1.9, .88), (1.1, .98), (.5, tall), (-1.1, tall), (-1.8, .98),
               (-2.1, .92)]
    canvas.plane(z, [(x + flip * a, b) for a, b in outline], rgb, CAR)
    canvas.plane(z, [(x + flip * a, b) for a, b in outline[:4] + [(-2.05, .78)]], rgb, shade=.82)
    top = tall - .1
    for pane in ([(.9, 1), (.45, top), (-.2, top), (-.2, 1)], [(-.3, 1), (-.3, top), (-1.05, top), (-1.5, 1)]):
        canvas.plane(z, [(x + flip * a, b) for a, b in pane], (.12, .14, .18))
    for wheel in (-1.3, 1.3):
        canvas.disc(x + wheel, .34, z, .36, (.06, .06, .07), CAR)
        canvas.disc(x + wheel, .34, z, .18, (.55, .55, .57))
    canvas.plane(z, [(x + flip * a, b) for a, b in ((2.1, .6), (1.9, .6), (1.88, .78), (2.08, .78))], (.98, .92, .74),
                 glowing=canvas.lit > .2)


def person(canvas, x, z):
    rng = canvas.rng
    height = rng.uniform(1.5, 1.9)
    unit, lean = height / 1.75, rng.uniform(-.12, .12)
    coat, trousers, skin = rng.choice(_CLOTHES), rng.choice(_CLOTHES), rng.choice(_SKINS)
    hair = rng.choice(((.10, .08, .07), (.32, .20, .12), (.70, .56, .34), (.50, .50, .50)))
    stride = rng.uniform(.02, .3)
    turn = rng.choice((-1, 1))

    def part(points, rgb, **light):
        canvas.plane(z, [(x + turn * a * unit, b * unit) for a, b in points], rgb, PERSON, **light)

    for foot in (-stride, stride):
        part([(foot - .08, 0), (foot + .14, 0), (foot + .14, .07), (foot - .08, .09)], (.10, .09, .09))
        part([(foot - .07, .05), (foot + .08, .05), (.15, .88), (-.15, .88)], trousers, shade=.9 + .3 * foot)
    part([(-.19, .80), (.19, .80), (.24 + lean, 1.40), (.12 + lean, 1.49), (-.12 + lean, 1.49), (-.24 + lean, 1.40)],
         coat)
    for arm in (-1, 1):
        hand = arm * (.27 + stride * .4) - stride * .2
        part([(arm * .20 + lean, 1.43), (arm * .30 + lean, 1.36), (hand + .05, .82), (hand - .06, .82)], coat,
             shade=.8)
        canvas.disc(x + turn * hand * unit, .8 * unit, z, .06 * unit, skin, PERSON)
    middle = x + turn * lean * unit
    canvas.plane(z, [(middle - .05, 1.45 * unit), (middle + .05, 1.45 * unit), (middle + .05, 1.56 * unit),
                     (middle - .05, 1.56 * unit)], skin, PERSON, shade=.85)
    canvas.disc(middle, 1.64 * unit, z, .125 * unit, hair, PERSON, squash=1.2)
    canvas.disc(middle + turn * .03, 1.61 * unit, z, .10 * unit, skin, squash=1.2)
