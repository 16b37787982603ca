"""Pictures of segmentations and detections: image, truth and prediction side by side, with a legend."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

IGNORED = 255
MARGIN = 8
LINE = 18


def overlay(image: np.ndarray, labels: np.ndarray, palette: Sequence, opacity: float = 0.6) -> np.ndarray:
    """Tint an image with the colours of its labels.

    Pixels with the label 255 are not tinted, unless there are more than 255 classes.

    Args:
        image: uint8 (H, W, 3), RGB.
        labels: integers (H, W).
        palette: colours (classes, 3), from 0 to 255.
        opacity: weight of the colour, from 0 to 1.

    Returns:
        uint8 (H, W, 3).

    Example:
        >>> import numpy as np
        >>> from a2sg_zoo.visualization import overlay
        >>> black = np.zeros((1, 2, 3), np.uint8)
        >>> overlay(black, np.array([[0, 255]]), [[255, 0, 0]]).tolist()  # the second pixel is ignored
        [[[153, 0, 0], [0, 0, 0]]]
    """
    colours = np.zeros((max(256, len(palette)), 3), np.float32)
    colours[: len(palette)] = palette
    tinted = (1 - opacity) * image + opacity * colours[labels.astype(np.int64)]
    ignored = (labels == IGNORED) & (len(palette) <= IGNORED)
    return np.where(ignored[..., None], image, tinted).astype(np.uint8)


def segmentation_panel(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, palette: Sequence) -> np.ndarray:
    """Join image, truth and prediction side by side.

    Args:
        image: uint8 (H, W, 3), RGB.
        truth: labels (H, W); 255 is ignored.
        prediction: labels (H, W).
        palette: colours (classes, 3), from 0 to 255.

    Returns:
        uint8 (H, 3 W, 3).
    """
    return np.concatenate([image, overlay(image, truth, palette), overlay(image, prediction, palette)], 1)


def predicted_objects(instances: Any) -> list[dict[str, Any]]:
    """Return the predictions of a detector as dict(label=, score=, box=[x1, y1, x2, y2], mask=bool (H, W) or None).

    Args:
        instances: `InstanceData` of bboxes, scores, labels, and masks or none.
    """
    boxes, scores, labels = (x.detach().cpu().tolist() for x in (instances.bboxes, instances.scores, instances.labels))
    masks = instances.masks.cpu().numpy() if 'masks' in instances else [None] * len(boxes)
    return [
        dict(label=label, score=score, box=box, mask=mask)
        for label, score, box, mask in zip(labels, scores, boxes, masks)
    ]


def draw_objects(
    image: np.ndarray, objects: Sequence[Mapping[str, Any]], palette: Sequence, names: Sequence[str] | None = None
) -> np.ndarray:
    """Draw boxes, and masks where there are some, on an image.

    Args:
        image: uint8 (H, W, 3), RGB.
        objects: each dict(label=, box=[x1, y1, x2, y2] in pixels), perhaps with score and mask, bool (H, W).
        palette: colours (classes, 3), from 0 to 255.
        names: of the classes, to be written at the boxes; None writes nothing.

    Returns:
        uint8 (H, W, 3).
    """
    tinted = image.astype(np.float32)
    for item in reversed(objects):  # the best one last
        if item.get('mask') is not None:
            tinted[item['mask']] = 0.5 * tinted[item['mask']] + 0.5 * np.asarray(palette[item['label']], np.float32)
    picture = Image.fromarray(tinted.astype(np.uint8))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    thick = max(1, round(max(image.shape) / 400))
    for item in reversed(objects):
        x1, y1, x2, y2 = item['box']
        colour = tuple(palette[item['label']])
        # the box is that of the pixels' edges; a line is drawn on pixels
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=thick)
        if names is not None:
            text = f'{names[item["label"]][:20]} {item["score"]:.0%}' if 'score' in item else names[item['label']][:20]
            top = max(0, y1 - 13)
            draw.rectangle((x1, top, x1 + draw.textlength(text, font) + 3, top + 13), fill=colour)
            draw.text((x1 + 2, top), text, 'white', font)
    return np.asarray(picture)


def detection_panel(
    image: np.ndarray, truth: Sequence[Mapping[str, Any]], prediction: Sequence[Mapping[str, Any]], palette: Sequence
) -> np.ndarray:
    """Join image, truth and prediction of a detector side by side; see `draw_objects` for the objects.

    Args:
        image: uint8 (H, W, 3), RGB.
        truth: objects of the truth.
        prediction: objects that were found.
        palette: colours (classes, 3), from 0 to 255.

    Returns:
        uint8 (H, 3 W, 3).
    """
    return np.concatenate([image, draw_objects(image, truth, palette), draw_objects(image, prediction, palette)], 1)


def contact_sheet(
    panels: Sequence[np.ndarray], legend: Sequence[tuple[str, Sequence[int]]], width: int = 1152, columns: int = 2
) -> Image.Image:
    """Arrange panels in a grid, with titles above and a legend below.

    Args:
        panels: from `segmentation_panel`; they may differ in size.
        legend: pairs (name of a class, its colour).
        width: width of the sheet, in pixels.
        columns: number of panels in a row.
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
