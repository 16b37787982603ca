"""Pictures of what networks see: image, truth and prediction side by side, with a legend; mistakes; confusion."""

import io
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


def input_picture(inputs: Any) -> np.ndarray:
    """Return what a classifier sees as a picture, uint8 (H, W, 3), RGB.

    Args:
        inputs: tensor of an image (C, H, W) with values from 0 to 255, grey unless C = 3; of event frames (T, 2, H, W),
            which are added up: ON is red, OFF is blue; of other frames (T, C, H, W), whose mean is shown; or of a
            sequence (T, F): time goes to the right.
    """
    x = np.asarray(inputs, dtype=np.float32)
    if x.ndim == 4 and x.shape[1] == 2:
        off, on = x.sum(0) / max(float(x.sum(0).max()), 1e-6)
        return (255 * np.stack([1 - off, 1 - np.maximum(on, off), 1 - on], -1)).astype(np.uint8)
    if x.ndim == 4:
        x = x.mean(0)
    if x.ndim == 3:
        x = x if len(x) in (1, 3) else x.mean(0, keepdims=True)
        return np.broadcast_to(x.clip(0, 255).transpose(1, 2, 0), (*x.shape[1:], 3)).astype(np.uint8)
    low, high = float(x.min()), float(x.max())
    grey = 255 * (1 - (x.T - low) / max(high - low, 1e-6))
    return np.repeat(grey[..., None], 3, -1).astype(np.uint8)


def mistakes_sheet(mistakes: Sequence[Mapping[str, Any]], names: Sequence[str], columns: int = 8) -> Image.Image:
    """Arrange wrongly classified inputs in a grid, each with its class, the class chosen and the probability of that.

    Args:
        mistakes: each dict(image=, truth=, chosen=, p=, position=): a tensor (see `input_picture`), two labels, a
            probability, and the position in the data set.
        names: of the classes.
        columns: number of inputs in a row.
    """
    cell, caption = 120, 3 * 15 + 4
    columns = min(columns, len(mistakes))
    rows = -(-len(mistakes) // columns)
    sheet = Image.new('RGB', (MARGIN + columns * (cell + MARGIN), MARGIN + rows * (cell + caption + MARGIN)), 'white')
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, mistake in enumerate(mistakes):
        x, y = MARGIN + i % columns * (cell + MARGIN), MARGIN + i // columns * (cell + caption + MARGIN)
        image = Image.fromarray(input_picture(mistake['image']))
        scale = cell / max(image.size)
        size = [max(1, round(side * scale)) for side in image.size]
        image = image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR)
        sheet.paste(image, (x + (cell - size[0]) // 2, y + (cell - size[1]) // 2))
        lines = (
            f'#{mistake["position"]} {names[mistake["truth"]]}',
            f'taken for {names[mistake["chosen"]]}',
            f'with {mistake["p"]:.1%}',
        )
        for line, text in enumerate(lines):
            draw.text((x, y + cell + 2 + 15 * line), text[:20], (180, 30, 30) if line else (0, 0, 0), font)
    return sheet


def confusion_picture(confusion: Any, names: Sequence[str]) -> Image.Image:
    """Draw a confusion matrix: a row for each class, shaded by the share of its samples, in percent.

    Args:
        confusion: counts (classes, classes): samples of the row's class that are taken for the column's.
        names: of the classes.
    """
    from matplotlib.figure import Figure  # takes half a second

    counts = np.asarray(confusion, dtype=np.float64)
    share = 100 * counts / counts.sum(1, keepdims=True).clip(min=1)
    classes = len(counts)
    side = min(14.0, max(4.5, 0.55 * classes + 1.5))
    figure = Figure(figsize=(side + 1, side), layout='constrained')
    axes = figure.subplots()
    image = axes.imshow(share, cmap='viridis', vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label='share of the class, in percent', shrink=0.8)
    axes.set(xlabel='taken for', ylabel='class')
    if classes <= 60:
        labels = [name[:18] for name in names]
        axes.set_xticks(range(classes), labels, rotation=90)
        axes.set_yticks(range(classes), labels)
    if classes <= 20:
        for row in range(classes):
            for column in range(classes):
                if counts[row, column]:
                    colour = 'black' if share[row, column] > 60 else 'white'
                    text = f'{share[row, column]:.0f}' if share[row, column] >= 0.5 else '<1'
                    axes.text(column, row, text, color=colour, ha='center', va='center', fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=100)
    return Image.open(buffer).convert('RGB')
