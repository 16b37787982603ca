"""Moving digits as an event camera sees them: the data of `--demo` for networks that take events."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from a2sg_zoo.datasets.classification import ImagesInMemory, Step
from a2sg_zoo.registry import DATASETS


@DATASETS.register_module()
class EventDigits(ImagesInMemory):
    """The digits of scikit-learn as an ideal event camera sees them while they move once round a circle.

    A pixel remembers the log brightness L = ln(I + 0.2), 0 <= I <= 1, of its last event, and sends an event for each
    whole threshold by which L is now above (ON) or below (OFF) that value. A frame covers eight positions.

    Every fifth digit is for the test: 1,437 are for training, 360 for the test.

    Args:
        train: take the training digits, or else the test digits.
        T: frames of a sample.
        size: height and width; a digit fills three quarters of them.
        threshold: of an event, in units of L.
        pipeline: see `CIFAR10DVS`.
    """

    def __init__(
        self, train: bool = True, T: int = 10, size: int = 32, threshold: float = 0.2, pipeline: Sequence[Step] = ()
    ) -> None:
        from sklearn.datasets import load_digits  # takes a second

        digits = load_digits()
        chosen = (np.arange(len(digits.target)) % 5 == 0) != train
        images = torch.from_numpy(digits.images[chosen]).float()[:, None] / 16
        super().__init__(
            moving_events(images, T, size, threshold), digits.target[chosen], map(str, range(10)), pipeline
        )
        self.metainfo['T'] = T


def moving_events(images: Tensor, T: int, size: int, threshold: float = 0.2, steps: int = 8) -> Tensor:
    """Computes the events of images that move once round a circle; see `EventDigits`.

    Args:
        images: brightness 0 to 1, (N, 1, h, w).
        T: number of frames.
        size: height and width of a frame.
        threshold: change of log brightness for one event.
        steps: positions of an image in a frame.

    Returns:
        Counts of events, float32 (N, T, 2, size, size); channel 0 is OFF, channel 1 is ON.
    """
    frames = torch.zeros(len(images), T, 2, size, size)
    remembered = None
    for step, angle in enumerate(torch.linspace(0, 2 * torch.pi, T * steps + 1).tolist()):
        level = (_shifted(images, size, angle) + 0.2).log()
        if remembered is None:
            remembered = level
            continue
        events = (level - remembered) / threshold
        # a pixel that returns to its first brightness sends back all its events, whichever way the last bit was rounded
        events = (events + 1e-3 * events.sign()).trunc()
        remembered = remembered + events * threshold
        frame = frames[:, (step - 1) // steps]
        frame[:, 0] -= events.clamp(max=0)[:, 0]
        frame[:, 1] += events.clamp(min=0)[:, 0]
    return frames


def _shifted(images: Tensor, size: int, angle: float) -> Tensor:
    """The images, three quarters of the frame wide, moved by a twelfth of its width in the direction of the angle."""
    scale, x, y = 4 / 3, np.cos(angle) / 6, np.sin(angle) / 6
    theta = torch.tensor([[scale, 0, -scale * x], [0, scale, -scale * y]], dtype=images.dtype)
    grid = F.affine_grid(theta.expand(len(images), 2, 3), [len(images), 1, size, size], align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
