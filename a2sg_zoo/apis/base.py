"""What all inferencers for pictures have in common: from a list of sources to predictions and pictures."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.infer import BaseInferencer
from torch import nn

from a2sg_zoo.apis.sources import Source, picture_list, read_image, result_paths, source_name
from a2sg_zoo.datasets.classes import checked_names
from a2sg_zoo.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from a2sg_zoo.hub.files import check_output_folder
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.hub.published import load
from a2sg_zoo.registry import SCOPE
from a2sg_zoo.utils.checks import integer

# pixels of a side of what goes through a network
LARGEST_INPUT = 4096
# oneDNN keeps what it compiled for each layer and each size of its input: 1,024 of them if nobody says otherwise, which
# is a gigabyte for pictures of many sizes. The largest network of the zoo needs fewer than this for one size
_CACHE, _CACHED = 'ONEDNN_PRIMITIVE_CACHE_CAPACITY', 256
# the name that marks the results, by which later calls know what they may replace
TOOL = 'predict'


class Inferencer(BaseInferencer):
    """Base of the inferencers: MMEngine's, but it builds the network from what the weight file says of itself
    (MMEngine's own would run the config in a checkpoint as a program), and it writes pictures as they are made.

    Args:
        model: name in the zoo, a file of `tools/publish.py`, or a checkpoint of `tools/train.py`.
        device: such as 'cuda:0'; by default the first accelerator, or else the CPU.
        show_progress: whether a bar shows the progress.

    Attributes:
        model: the network.
        description: what the weight file says of it, a `Description`.

    Raises:
        ConfigError: the zoo has no such name, the network does something else, or the device is not there.
        CheckpointError: the weights cannot be had or read.
    """

    task: str | None = None
    # what the names of the pictures of a result end in
    endings: tuple[str, ...] = ('.png',)

    def __init__(self, model: str | Path, device: str | torch.device | None = None, show_progress: bool = False):
        # read once, when the first layer runs in this process; a value of the user's stays
        os.environ.setdefault(_CACHE, str(_CACHED))
        super().__init__(weights=str(model), device=device, scope=SCOPE, show_progress=show_progress)

    def __call__(
        self,
        inputs: Source | Sequence[Source],
        batch_size: int = 1,
        out_dir: str | Path | None = None,
        keep_going: bool = False,
    ) -> dict[str, Any]:
        """Runs the network on pictures.

        Args:
            inputs: a picture, a folder of them, or a list of either. A picture is a path, an http(s): or file:
                address, a PIL image, or an array (H, W, 3) or (H, W), uint8, red first.
            batch_size: how many go through the network at once.
            out_dir: folder for pictures of the results. Only results of earlier calls are replaced there.
            keep_going: leave out the pictures that cannot be had or read, in place of an error.

        Returns:
            dict(predictions=[a dictionary for each picture, see the class], visualization=[path for each] or None,
            errors=[message for each picture left out]).

        Raises:
            DataError: a picture cannot be had or read, or would be overwritten by a result.
            ConfigError: `batch_size` is wrong, or another file would be overwritten.
            NonFiniteError: the network answers with NaN or infinity.
        """
        integer('batch_size', batch_size, self)
        sources = picture_list(inputs)
        self._targets: Iterator[Path | None] = repeat(None)
        if out_dir is not None:
            self._targets = iter(result_paths(sources, check_output_folder(out_dir, TOOL), self.endings, TOOL))
        self._keep_going, self._errors = keep_going, []
        return super().__call__(sources, batch_size=batch_size)

    def preprocess_image(self, image: np.ndarray) -> dict[str, Any]:
        """dict(inputs=what the network takes, uint8 (3, h, w), data_samples=...) of a picture (H, W, 3)."""
        raise NotImplementedError

    def predict(self, output: Any, image: np.ndarray) -> dict[str, Any]:
        """What a prediction says, from what the network answers for a picture."""
        raise NotImplementedError

    def draw(self, image: np.ndarray, prediction: dict[str, Any], path: Path) -> Path:
        """Writes the pictures of a prediction, whose names begin with `path`; returns the first one's path."""
        raise NotImplementedError

    def _init_model(self, cfg, weights, device):
        path = locate(weights)
        model, self.description = load(path, device)
        if self.description.task != self.task:
            raise ConfigError(f'{weights} is for {self.description.task}, but {type(self).__name__} does {self.task}')
        checked_names(self.description.classes, f'checkpoint {path}: classes')
        model.backbone.register_forward_pre_hook(_finite_input(f'checkpoint {path}'))
        return model

    def _init_pipeline(self, cfg):
        return self._prepare

    def _init_collate(self, cfg):
        return lambda items: {key: [item[key] for item in items] for key in items[0]}

    def _get_chunk_data(self, inputs: Iterable[dict | None], chunk_size: int) -> Iterator[list[dict]]:
        chunk = []
        for item in filter(None, inputs):
            # MMSegmentation takes pictures of one size at a time
            if chunk and (len(chunk) == chunk_size or item['inputs'].shape != chunk[0]['inputs'].shape):
                yield chunk
                chunk = []
            chunk.append(item)
        if chunk:
            yield chunk

    def _inputs_to_list(self, inputs):
        return inputs  # `picture_list` has made it

    def _prepare(self, source: Source) -> dict[str, Any] | None:
        """dict(image=uint8 (H, W, 3), red first, source=..., target=..., inputs=what the network takes,
        data_samples=...), or None for a picture that is left out."""
        target = next(self._targets)
        try:
            image = read_image(source)
            prepared = self._preprocess(image, source)
        except DataError as error:
            if not self._keep_going:
                raise
            self._errors.append(str(error))
            return None
        return dict(image=image, source=source, target=target, **prepared)

    def _preprocess(self, image: np.ndarray, source: Source) -> dict[str, Any]:
        size = f'{_name(source)} of {image.shape[1]} x {image.shape[0]}'
        try:
            prepared = self.preprocess_image(image)
        except (DataError, cv2.error) as error:  # a side of no pixels, or of too many
            raise DataError(
                f'{size} is too narrow or too large for what these weights take: resize = {self.description.resize}'
            ) from error
        height, width = prepared['inputs'].shape[-2:]
        if height * width > LARGEST_INPUT**2:
            raise DataError(
                f'{size} is too large for these weights, which take it as {width} x {height}, and at most '
                f'{LARGEST_INPUT**2:,} pixels go through a network; make it smaller'
            )
        return prepared

    @torch.inference_mode()
    def forward(self, data):
        images, sources, targets = data.pop('image'), data.pop('source'), data.pop('target')
        predictions = []
        for output, image, source, target in zip(self.model.test_step(data), images, sources, targets):
            if not self.answer(output).isfinite().all():
                raise NonFiniteError(
                    f'{_name(source)}: the network answers with NaN or infinity; its weights are not usable'
                )
            prediction = dict(input=source_name(source), **self.predict(output, image))
            if target is not None:
                prediction['picture'] = self.draw(image, prediction, target)
            predictions.append(prediction)
        return predictions

    def answer(self, output: Any) -> torch.Tensor:
        """The numbers, such as logits, in what the network answers for a picture."""
        raise NotImplementedError

    def visualize(self, inputs, preds, **kwargs):
        pictures = [prediction.pop('picture', None) for prediction in preds]
        return pictures if any(pictures) else None

    def postprocess(self, preds, visualization, return_datasamples=False):
        return dict(predictions=preds, visualization=visualization, errors=self._errors)


def _name(source: Source) -> str:
    name = source_name(source)
    return 'a picture' if name is None else f'picture {name}'


def _finite_input(where: str):
    """A hook that refuses what a data preprocessor with a mean of NaN or a deviation of 0 makes of a picture. A spiking
    neuron would hide it: no NaN reaches a threshold."""

    def check(backbone: nn.Module, inputs: tuple) -> None:
        if not inputs[0].isfinite().all():
            raise CheckpointError(
                f'{where}: its data_preprocessor makes NaN or infinity of a picture; check its mean and std'
            )

    return check
