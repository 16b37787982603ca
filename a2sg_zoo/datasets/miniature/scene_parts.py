"""The things in the embedded street scenes: houses, trees, cars and persons."""

import math

import numpy as np

from a2sg_zoo.datasets.miniature.scene_canvas import BUILDING, CAR, PERSON, TREE

# colours are sRGB, 0 to 1
_WALLS = [
    (0.62, 0.60, 0.57),
    (0.45, 0.45, 0.47),
    (0.72, 0.64, 0.52),
    (0.60, 0.38, 0.30),
    (0.50, 0.33, 0.27),
    (0.80, 0.77, 0.70),
    (0.42, 0.52, 0.62),
    (0.35, 0.40, 0.38),
    (0.66, 0.72, 0.78),
    (0.55, 0.58, 0.46),
    (0.30, 0.30, 0.33),
]
_LEAVES = [
    (0.22, 0.42, 0.16),
    (0.30, 0.48, 0.20),
    (0.15, 0.30, 0.16),
    (0.40, 0.44, 0.18),
    (0.62, 0.44, 0.16),
    (0.52, 0.26, 0.14),
    (0.34, 0.32, 0.26),
    (0.72, 0.55, 0.60),
]
_PAINTS = [
    (0.82, 0.82, 0.82),
    (0.50, 0.51, 0.53),
    (0.10, 0.10, 0.12),
    (0.62, 0.12, 0.10),
    (0.14, 0.24, 0.52),
    (0.20, 0.34, 0.22),
    (0.72, 0.62, 0.36),
    (0.30, 0.31, 0.34),
    (0.34, 0.52, 0.68),
    (0.70, 0.36, 0.12),
]
_CLOTHES = [
    (0.12, 0.12, 0.16),
    (0.55, 0.14, 0.16),
    (0.18, 0.28, 0.52),
    (0.80, 0.78, 0.74),
    (0.24, 0.42, 0.28),
    (0.74, 0.60, 0.24),
    (0.46, 0.46, 0.48),
    (0.42, 0.30, 0.46),
    (0.36, 0.26, 0.20),
]
_SKINS = [(0.90, 0.74, 0.62), (0.78, 0.58, 0.44), (0.56, 0.38, 0.27), (0.36, 0.24, 0.18)]


def _windows(canvas, quad, columns, rows, z, rgb, shade):
    """Rows of windows on a wall; `quad(s, t)` gives the wall's point at s along and t up, both 0..1."""
    rng = canvas.rng
    width, height = rng.uniform(0.35, 0.75), rng.uniform(0.4, 0.7)
    glass = rng.choice(((0.16, 0.20, 0.26), (0.10, 0.11, 0.13), (0.38, 0.48, 0.58), tuple(c * 0.6 for c in rgb)))
    if canvas.pixels(1.5, z) < canvas.size / 128:  # too far to be seen, whatever the size of the picture
        return
    for column in range(columns):
        for row in range(rows):
            s, t = (column + (1 - width) / 2) / columns, (row + (1 - height) / 2) / rows
            ds, dt = width / columns, height / rows
            lit = rng.random() < canvas.lit
            canvas.polygon(
                [quad(s, t), quad(s + ds, t), quad(s + ds, t + dt), quad(s, t + dt)],
                (0.98, 0.82, 0.50) if lit else glass,
                shade=0.9 if lit else shade,
                glowing=lit,
            )


def house_ahead(canvas, x, z, width, height):
    """A house whose front faces the camera."""
    rng = canvas.rng
    rgb, shade = rng.choice(_WALLS), rng.uniform(0.85, 1.1)
    canvas.plane(z, [(x, 0), (x + width, 0), (x + width, height), (x, height)], rgb, BUILDING, shade=shade)
    if height < 12 and rng.random() < 0.7:
        roof = rng.choice(((0.46, 0.22, 0.16), (0.28, 0.27, 0.28), (0.40, 0.32, 0.26)))
        canvas.plane(
            z,
            [(x - 0.4, height), (x + width + 0.4, height), (x + width / 2, height + width * 0.3)],
            roof,
            BUILDING,
            shade=shade,
        )
    else:
        canvas.plane(
            z,
            [(x - 0.2, height), (x + width + 0.2, height), (x + width + 0.2, height - 0.7), (x - 0.2, height - 0.7)],
            rgb,
            shade=shade * 0.75,
        )
    _windows(
        canvas,
        lambda s, t: (x + s * width, 0.8 + t * (height - 1.6), z),
        max(1, int(width / 3)),
        max(1, int(height / 3.3)),
        z,
        rgb,
        shade,
    )


def house_beside(canvas, x, z, depth, height):
    """A house along the street: its long wall runs from z to z + depth at x, and its end faces the camera."""
    rng = canvas.rng
    rgb = rng.choice(_WALLS)
    side = math.copysign(1, x)
    end, wall = 1 + 0.12 * rng.uniform(-1, 1), 1 - 0.28 * side * canvas.sun
    canvas.plane(z, [(x, 0), (x + side * 14, 0), (x + side * 14, height), (x, height)], rgb, BUILDING, shade=end)
    canvas.polygon([(x, 0, z), (x, 0, z + depth), (x, height, z + depth), (x, height, z)], rgb, BUILDING, shade=wall)
    canvas.polygon(
        [(x, height, z), (x, height, z + depth), (x, height - 0.8, z + depth), (x, height - 0.8, z)],
        rgb,
        shade=wall * 0.7,
    )
    plinth = rng.choice(_WALLS)
    canvas.polygon([(x, 0, z), (x, 0, z + depth), (x, 3, z + depth), (x, 3, z)], plinth, shade=wall * 0.8)
    _windows(canvas, lambda s, t: (x, 0.5 + 2.2 * t, z + s * depth), max(1, int(depth / 4)), 1, z, plinth, wall * 0.8)
    _windows(
        canvas,
        lambda s, t: (x, 3.2 + t * (height - 4.4), z + s * depth),
        max(1, int(depth / 2.8)),
        max(1, int((height - 4) / 3)),
        z,
        rgb,
        wall,
    )


def tree(canvas, x, z, height):
    rng = canvas.rng
    rgb = rng.choice(_LEAVES)
    bark = rng.choice(((0.30, 0.22, 0.16), (0.24, 0.21, 0.19), (0.42, 0.36, 0.30)))
    trunk = height * 0.022 + 0.06
    canvas.plane(
        z,
        [(x - trunk, 0), (x + trunk, 0), (x + trunk * 0.6, height * 0.6), (x - trunk * 0.6, height * 0.6)],
        bark,
        TREE,
        shade=0.85,
    )
    if rng.random() < 0.25:  # a conifer
        for tier in range(4):
            low, spread = height * (0.16 + 0.2 * tier), height * 0.27 * (1 - tier / 5)
            canvas.plane(
                z, [(x - spread, low), (x + spread, low), (x, low + height * 0.34)], rgb, TREE, shade=0.75 + 0.12 * tier
            )
        return
    crown, spread = height * 0.66, height * rng.uniform(0.26, 0.36)
    blobs = [(x, crown, spread * 0.8)]
    for _ in range(11):
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(0.4, 0.85)
        blobs.append(
            (
                x + spread * far * math.cos(angle),
                crown + spread * far * math.sin(angle),
                spread * rng.uniform(0.28, 0.5),
            )
        )
    for bx, by, radius in blobs:
        canvas.disc(bx, by, z, radius, rgb, TREE, shade=0.72)
    for bx, by, radius in blobs * 3:  # clumps of leaves, lighter towards the sun and the sky
        dx, dy = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6)
        glint = (bx - x) * canvas.sun / spread + (by - crown) / spread
        canvas.disc(
            bx + dx * radius,
            by + dy * radius,
            z,
            radius * rng.uniform(0.15, 0.4),
            rgb,
            shade=0.92 + 0.22 * glint + rng.uniform(-0.14, 0.14),
        )


def car_ahead(canvas, x, z, towards):
    """A car that drives along the street, seen from behind or, `towards`, from the front."""
    rng = canvas.rng
    rgb = rng.choice(_PAINTS)
    wide, long, tall = 0.9, 4.2, rng.uniform(1.4, 1.9)
    belt, glass = tall * 0.58, (0.10, 0.12, 0.15)
    flank = x - math.copysign(wide, x)  # the flank that the camera sees
    tuck = math.copysign(0.15, x)
    canvas.polygon(
        [(flank, 0.2, z), (flank, 0.2, z + long), (flank, belt, z + long), (flank, belt, z)], rgb, CAR, shade=0.7
    )
    canvas.polygon(
        [
            (flank, belt, z + 0.3),
            (flank, belt, z + long - 1),
            (flank + tuck, tall, z + long - 1.6),
            (flank + tuck, tall, z + 0.8),
        ],
        glass,
        CAR,
    )
    canvas.polygon(
        [
            (x - 0.75, tall, z + 0.8),
            (x + 0.75, tall, z + 0.8),
            (x + 0.75, tall, z + long - 1.6),
            (x - 0.75, tall, z + long - 1.6),
        ],
        rgb,
        CAR,
        shade=1.1,
    )
    for wheel in (z + 0.8, z + long - 0.9):
        ring = [(flank, 0.34 + 0.34 * math.sin(a), wheel + 0.36 * math.cos(a)) for a in np.arange(0, 2 * math.pi, 0.5)]
        canvas.polygon(ring, (0.07, 0.07, 0.08), CAR)
    for wheel in (x - 0.72, x + 0.5):
        canvas.plane(z, [(wheel, 0), (wheel + 0.22, 0), (wheel + 0.22, 0.4), (wheel, 0.4)], (0.06, 0.06, 0.07), CAR)
    canvas.plane(
        z,
        [
            (x - wide, 0.22),
            (x + wide, 0.22),
            (x + wide, belt * 0.8),
            (x + 0.84, belt),
            (x - 0.84, belt),
            (x - wide, belt * 0.8),
        ],
        rgb,
        CAR,
        shade=0.95,
    )
    canvas.plane(z, [(x - 0.84, belt), (x + 0.84, belt), (x + 0.7, tall), (x - 0.7, tall)], rgb, CAR, shade=0.9)
    canvas.plane(
        z, [(x - 0.72, belt + 0.05), (x + 0.72, belt + 0.05), (x + 0.62, tall - 0.1), (x - 0.62, tall - 0.1)], glass
    )
    canvas.plane(z, [(x - wide, 0.22), (x + wide, 0.22), (x + wide, 0.42), (x - wide, 0.42)], (0.16, 0.16, 0.17))
    lamp = (0.98, 0.94, 0.80) if towards else (0.80, 0.10, 0.08)
    for side in (-0.82, 0.52):
        canvas.plane(
            z,
            [
                (x + side, belt * 0.62),
                (x + side + 0.3, belt * 0.62),
                (x + side + 0.3, belt * 0.84),
                (x + side, belt * 0.84),
            ],
            lamp,
            glowing=canvas.lit > 0.2,
        )


def car_across(canvas, x, z):
    """A car that crosses, seen from the side."""
    rng = canvas.rng
    rgb, flip, tall = rng.choice(_PAINTS), rng.choice((-1, 1)), rng.uniform(1.4, 1.75)
    outline = [
        (-2.1, 0.3),
        (2.1, 0.3),
        (2.15, 0.7),
        (1.9, 0.88),
        (1.1, 0.98),
        (0.5, tall),
        (-1.1, tall),
        (-1.8, 0.98),
        (-2.1, 0.92),
    ]
    canvas.plane(z, [(x + flip * a, b) for a, b in outline], rgb, CAR)
    canvas.plane(z, [(x + flip * a, b) for a, b in outline[:4] + [(-2.05, 0.78)]], rgb, shade=0.82)
    top = tall - 0.1
    for pane in ([(0.9, 1), (0.45, top), (-0.2, top), (-0.2, 1)], [(-0.3, 1), (-0.3, top), (-1.05, top), (-1.5, 1)]):
        canvas.plane(z, [(x + flip * a, b) for a, b in pane], (0.12, 0.14, 0.18))
    for wheel in (-1.3, 1.3):
        canvas.disc(x + wheel, 0.34, z, 0.36, (0.06, 0.06, 0.07), CAR)
        canvas.disc(x + wheel, 0.34, z, 0.18, (0.55, 0.55, 0.57))
    canvas.plane(
        z,
        [(x + flip * a, b) for a, b in ((2.1, 0.6), (1.9, 0.6), (1.88, 0.78), (2.08, 0.78))],
        (0.98, 0.92, 0.74),
        glowing=canvas.lit > 0.2,
    )


def person(canvas, x, z):
    rng = canvas.rng
    height = rng.uniform(1.5, 1.9)
    unit, lean = height / 1.75, rng.uniform(-0.12, 0.12)
    coat, trousers, skin = rng.choice(_CLOTHES), rng.choice(_CLOTHES), rng.choice(_SKINS)
    hair = rng.choice(((0.10, 0.08, 0.07), (0.32, 0.20, 0.12), (0.70, 0.56, 0.34), (0.50, 0.50, 0.50)))
    stride = rng.uniform(0.02, 0.3)
    turn = rng.choice((-1, 1))

    def part(points, rgb, **light):
        canvas.plane(z, [(x + turn * a * unit, b * unit) for a, b in points], rgb, PERSON, **light)

    for foot in (-stride, stride):
        part([(foot - 0.08, 0), (foot + 0.14, 0), (foot + 0.14, 0.07), (foot - 0.08, 0.09)], (0.10, 0.09, 0.09))
        part([(foot - 0.07, 0.05), (foot + 0.08, 0.05), (0.15, 0.88), (-0.15, 0.88)], trousers, shade=0.9 + 0.3 * foot)
    part(
        [
            (-0.19, 0.80),
            (0.19, 0.80),
            (0.24 + lean, 1.40),
            (0.12 + lean, 1.49),
            (-0.12 + lean, 1.49),
            (-0.24 + lean, 1.40),
        ],
        coat,
    )
    for arm in (-1, 1):
        hand = arm * (0.27 + stride * 0.4) - stride * 0.2
        part(
            [(arm * 0.20 + lean, 1.43), (arm * 0.30 + lean, 1.36), (hand + 0.05, 0.82), (hand - 0.06, 0.82)],
            coat,
            shade=0.8,
        )
        canvas.disc(x + turn * hand * unit, 0.8 * unit, z, 0.06 * unit, skin, PERSON)
    middle = x + turn * lean * unit
    canvas.plane(
        z,
        [
            (middle - 0.05, 1.45 * unit),
            (middle + 0.05, 1.45 * unit),
            (middle + 0.05, 1.56 * unit),
            (middle - 0.05, 1.56 * unit),
        ],
        skin,
        PERSON,
        shade=0.85,
    )
    canvas.disc(middle, 1.64 * unit, z, 0.125 * unit, hair, PERSON, squash=1.2)
    canvas.disc(middle + turn * 0.03, 1.61 * unit, z, 0.10 * unit, skin, squash=1.2)
