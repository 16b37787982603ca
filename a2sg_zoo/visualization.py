"""Pictures of segmentations: image, truth and prediction side by side, with a legend."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

IGNORED = 255
MARGIN = 8
LINE = 18


def overlay(image, labels, palette, opacity=0.6):
    """The image (H, W, 3, uint8 RGB) tinted with its labels' colours; ignored pixels stay as they are. Where there are
    so many classes that 255 is one of them, none are ignored."""
    colours = np.zeros((max(256, len(palette)), 3), np.float32)
    colours[: len(palette)] = palette
    tinted = (1 - opacity) * image + opacity * colours[labels.astype(np.int64)]
    ignored = (labels == IGNORED) & (len(palette) <= IGNORED)
    return np.where(ignored[..., None], image, tinted).astype(np.uint8)


def segmentation_panel(image, truth, prediction, palette):
    """image | truth | prediction, as one array (H, 3 W, 3). All of one size; labels from 0, 255 is ignored."""
    return np.concatenate([image, overlay(image, truth, palette), overlay(image, prediction, palette)], 1)


def contact_sheet(panels, legend, width=1152, columns=2):
    """Panels in a grid with column titles and a legend below.

    Args:
        panels: arrays (H, W, 3) as `segmentation_panel` makes them; they may differ in size.
        legend: [(class name, colour)].
        width: of the sheet, in pixels.
        columns: panels a row.

    Returns:
        PIL image.
    """
    columns = min(columns, len(panels))
    cell = (width - MARGIN * (columns + 1)) // columns
    images = [Image.fromarray(p).resize((cell, round(cell * p.shape[0] / p.shape[1]))) for p in panels]
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    tops = np.cumsum([LINE + MARGIN] + [max(i.height for i in row) + MARGIN for row in rows])
    font = ImageFont.load_default(13)
    per_line = max(1, (width - MARGIN) // 150)
    legend_lines = -(-len(legend) // per_line)
    sheet = Image.new('RGB', (width, int(tops[-1]) + legend_lines * LINE + MARGIN), 'white')
    draw = ImageDraw.Draw(sheet)
    for column in range(columns):
        for i, title in enumerate(('image', 'truth', 'prediction')):
            x = MARGIN + column * (cell + MARGIN) + cell * (2 * i + 1) / 6
            draw.text((x, MARGIN), title, 'black', font, anchor='mt')
    for row, top in zip(rows, tops):
        for column, image in enumerate(row):
            sheet.paste(image, (MARGIN + column * (cell + MARGIN), int(top)))
    for i, (name, colour) in enumerate(legend):
        x, y = MARGIN + i % per_line * 150, int(tops[-1]) + i // per_line * LINE
        draw.rectangle((x, y + 2, x + 13, y + 15), tuple(colour))
        draw.text((x + 19, y + 2), name[:20], 'black', font)
    return sheet
