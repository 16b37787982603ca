"""Pictures, and the small networks that look at them."""

import numpy as np
import pytest
from PIL import Image

from a2sg_zoo.apis.inference import ImageClassifierInferencer, SegmentationInferencer

CLASSES_OF = dict(classification=ImageClassifierInferencer, segmentation=SegmentationInferencer)


def photo(seed=0, height=32, width=32):
    """Smooth noise, uint8 (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def task(*names):
    return pytest.mark.parametrize('weights', names, indirect=True)


def same(a, b):
    if 'mask' in a:
        return np.array_equal(a['mask'], b['mask']) and a['shares'] == b['shares']
    return a['label'] == b['label'] and np.allclose(a['scores'], b['scores'], atol=1e-5)
