"""Draws camvid.png, labels of street scenes and what a network sees: CAMVID_ROOT=PATH python docs/images/draw_camvid.py

Only labels are drawn, since the photographs are licensed for research.
"""

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch
from PIL import Image

import a2sg_zoo
from a2sg_zoo.visualization import overlay

NAME, PICTURES = 'resnet9_camvid_a2sg', 4

folder = Path(os.environ['CAMVID_ROOT'])
masks = sorted(folder.glob('annotations/validation/*.png'))
masks = [masks[i] for i in np.linspace(0, len(masks) - 1, PICTURES).round().astype(int)]
infer = a2sg_zoo.SegmentationInferencer(NAME)
predictions = infer([str(folder / 'images/validation' / f'{mask.stem}.jpg') for mask in masks])['predictions']
classes, palette = infer.description.classes, infer.description.palette
figure, axes = plt.subplots(2, PICTURES, figsize=(11, 5))
seen = set()
for column, mask, prediction in zip(axes.T, masks, predictions):
    truth = np.array(Image.open(mask)) - 1  # 0 in the file means unlabelled, and becomes 255
    white = np.full((*truth.shape, 3), 255, np.uint8)
    for ax, labels in zip(column, (truth, prediction['mask'])):
        ax.imshow(overlay(white, labels, palette, opacity=0.8))
        ax.set(xticks=[], yticks=[])
        seen |= set(np.unique(labels)) - {255}
axes[0, 0].set_ylabel('truth')
axes[1, 0].set_ylabel('prediction')
patches = [Patch(color=[0.2 + 0.8 * c / 255 for c in palette[i]], label=classes[i]) for i in sorted(seen)]
figure.legend(handles=patches, loc='lower center', ncols=len(patches), frameon=False, fontsize=8, handlelength=1)
figure.subplots_adjust(left=0.03, right=0.99, top=0.99, bottom=0.08, wspace=0.03, hspace=0.03)
figure.savefig(Path(__file__).with_name('camvid.png'), dpi=100)
