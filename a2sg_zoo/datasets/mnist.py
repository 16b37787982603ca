"""MNIST, which networks also read pixel by pixel; see `ToSequence`."""

import os
from collections.abc import Sequence
from pathlib import Path

from torchvision import datasets as torchvision

from a2sg_zoo.datasets.classification import ImagesInMemory, Range, Step
from a2sg_zoo.errors import DataError
from a2sg_zoo.registry import DATASETS


@DATASETS.register_module()
class MNIST(ImagesInMemory):
    """MNIST as torchvision reads it: 60,000 training and 10,000 test images of 28x28 pixels with one channel.

    Args:
        data_root: folder that holds MNIST/raw/*-ubyte; by default the one in the environment variable MNIST_ROOT, or
            else data.
        train: take the training images, or else the test images.
        pipeline, per_class: see `ImagesInMemory`. With `dict(type='ToSequence')` samples are sequences (784, 1).

    Raises:
        DataError: the files are missing or damaged.

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86:2278-2324, 1998.
    """

    name = 'MNIST'

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        train: bool = True,
        pipeline: Sequence[Step] = (),
        per_class: Range = None,
    ) -> None:
        self.data_root = data_root or os.environ.get('MNIST_ROOT') or 'data'
        folder = Path(self.data_root, self.name, 'raw').absolute()
        if not folder.is_dir():
            raise DataError(f'MNIST is not there: no folder {folder}\n{self._how_to_get()}')
        try:
            data = torchvision.MNIST(self.data_root, train=train)
            if not len(data.targets) or data.data.shape != (len(data.targets), 28, 28):
                raise ValueError(f'{len(data.targets)} labels, but images {tuple(data.data.shape)}')
            if data.targets.max() > 9:
                raise ValueError(f'the label {int(data.targets.max())}')
        except Exception as error:  # torchvision's readers assert
            raise DataError(
                f'MNIST in {folder} is incomplete or damaged ({error or type(error).__name__}); remove that folder\n'
                f'{self._how_to_get()}'
            ) from error
        super().__init__(data.data[:, None], data.targets.numpy(), map(str, range(10)), pipeline, per_class)

    def _how_to_get(self) -> str:
        return f"""Get the data set (12 MB) with
    a2sg-zoo download_dataset mnist --root {self.data_root}
or set the environment variable MNIST_ROOT, or pass --cfg-options data_root=PATH, to the folder that holds MNIST/raw.
To try things without it, pass --demo: that takes the digits embedded in scikit-learn."""
