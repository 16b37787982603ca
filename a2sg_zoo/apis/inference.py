"""Pictures in, labels or masks out: inferencers in MMEngine's style.

from a2sg_zoo import ImageClassifierInferencer
result = ImageClassifierInferencer(NAME)('cat.jpg')['predictions'][0]
print(result['name'], result['score'])
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import Resize
from mmengine.infer import BaseInferencer
from mmseg.structures import SegDataSample
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import nn
from torchvision.transforms.v2.functional import InterpolationMode, center_crop, resize

from a2sg_zoo.apis.sources import Source, picture_list, read_image, result_paths, source_name
from a2sg_zoo.datasets.classes import checked_names
from a2sg_zoo.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from a2sg_zoo.hub.files import check_output_folder, write_output
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.hub.published import load, read
from a2sg_zoo.registry import SCOPE
from a2sg_zoo.utils.checks import integer
from a2sg_zoo.visualization import overlay

# pixels of a side of what goes through a network
LARGEST_INPUT = 4096
# oneDNN keeps what it compiled for each layer and each size of its input: 1,024 of them if nobody says otherwise, which
# is a gigabyte for pictures of many sizes. The largest network of the zoo needs fewer than this for one size
_CACHE, _CACHED = 'ONEDNN_PRIMITIVE_CACHE_CAPACITY', 256
# the name that marks the results, by which later calls know what they may replace
_TOOL = 'predict'


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
            self._targets = iter(result_paths(sources, check_output_folder(out_dir, _TOOL), self.endings, _TOOL))
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
                f'{size} is too narrow for what these weights take: resize = {self.description.resize}'
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


class ImageClassifierInferencer(Inferencer):
    """Says what is in a picture.

    A prediction is dict(input=path or None, label=number of the class, name=of the class, score=its probability,
    scores=[of all classes]); probabilities are those of the mean logits over time. See `Inferencer` for arguments.
    """

    task = 'classification'

    def _init_pipeline(self, cfg):
        resize = self.description.resize
        if set(resize) not in ({'size'}, {'shorter', 'crop'}):
            raise ConfigError(
                'these weights do not say how a picture becomes what the network takes; those trained on '
                f'events take none (resize = {resize})'
            )
        return super()._init_pipeline(cfg)

    def preprocess_image(self, image: np.ndarray) -> dict[str, Any]:
        image = fit(Image.fromarray(image), **self.description.resize)
        # there is no label to compare with
        return dict(inputs=torch.from_numpy(np.array(image)).permute(2, 0, 1), data_samples=-1)

    def forward(self, data):
        return super().forward({**data, 'inputs': torch.stack(data['inputs'])})

    def answer(self, output: dict[str, torch.Tensor]) -> torch.Tensor:
        return output['logits']

    def predict(self, output: dict[str, torch.Tensor], image: np.ndarray) -> dict[str, Any]:
        scores = output['logits'].float().mean(0).softmax(0).tolist()
        label = max(range(len(scores)), key=scores.__getitem__)
        return dict(label=label, name=self.description.classes[label], score=scores[label], scores=scores)

    def draw(self, image: np.ndarray, prediction: dict[str, Any], path: Path) -> Path:
        picture = Image.fromarray(image)
        if picture.width < 256:
            picture = picture.resize((256, round(256 * picture.height / picture.width)), Image.Resampling.NEAREST)
        sheet = ImageOps.expand(picture, (0, 0, 0, 24), 'white')
        ImageDraw.Draw(sheet).text(
            (6, picture.height + 5),
            f'{prediction["name"]}  {prediction["score"]:.1%}',
            'black',
            ImageFont.load_default(13),
        )
        return write_output(sheet, path.with_name(f'{path.name}.png'), _TOOL)


class SegmentationInferencer(Inferencer):
    """Says what every pixel belongs to.

    A prediction is dict(input=path or None, mask=class of each pixel, uint8 (H, W) of the picture's size, shares={name
    of a class: its share of the pixels}, the largest first). With `out_dir`, the tinted picture goes to NAME.png and
    the mask, as a palette image, to NAME_mask.png. Masks of more than 256 classes are uint16, and grey images. Classes
    are decided at the size that the network sees; each pixel of the picture has that of the nearest one there. See
    `Inferencer` for arguments.
    """

    task = 'segmentation'
    endings = ('.png', '_mask.png')

    def _init_pipeline(self, cfg):
        arguments = self.description.resize
        try:
            self._resize = Resize(**{**arguments, 'scale': tuple(arguments['scale'])}) if arguments else None
        except (KeyError, TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f'these weights do not say how a picture is resized: resize = {arguments}') from error
        return super()._init_pipeline(cfg)

    def preprocess_image(self, image: np.ndarray) -> dict[str, Any]:
        results = dict(img=mmcv.imconvert(image, 'rgb', 'bgr'))  # the order of the data sets for segmentation
        if self._resize is not None:
            results = self._resize(results)
        # not the picture's own size, to which the logits of all classes would be enlarged: gigabytes for a photograph
        shape = results['img'].shape[:2]
        sample = SegDataSample(metainfo=dict(ori_shape=shape, img_shape=shape))
        return dict(inputs=torch.from_numpy(results['img'].copy()).permute(2, 0, 1), data_samples=sample)

    def answer(self, output: SegDataSample) -> torch.Tensor:
        return output.seg_logits.data

    def predict(self, output: SegDataSample, image: np.ndarray) -> dict[str, Any]:
        mask = output.pred_sem_seg.data[0].cpu().numpy()
        mask = mask.astype(np.uint8 if len(self.description.classes) <= 256 else np.uint16)
        height, width = image.shape[:2]
        mask = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        counts = np.bincount(mask.ravel(), minlength=len(self.description.classes))
        order = sorted(np.flatnonzero(counts).tolist(), key=lambda i: -counts[i])
        return dict(mask=mask, shares={self.description.classes[i]: counts[i].item() / mask.size for i in order})

    def draw(self, image: np.ndarray, prediction: dict[str, Any], path: Path) -> Path:
        mask = Image.fromarray(prediction['mask'])
        if prediction['mask'].dtype == np.uint8:
            mask.putpalette(np.asarray(self.description.palette, np.uint8).tobytes())
        write_output(mask, path.with_name(f'{path.name}_mask.png'), _TOOL)
        tinted = Image.fromarray(overlay(image, prediction['mask'], self.description.palette))
        return write_output(tinted, path.with_name(f'{path.name}.png'), _TOOL)


def fit(image: Image.Image, size: int | None = None, shorter: int | None = None, crop: int | None = None):
    """A PIL image resized as `Description.resize` says: to size x size, or its shorter side to `shorter`, of which the
    middle crop x crop.

    Raises:
        DataError: the longer side would become too long.
    """
    if size is not None:
        return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)
    longer = shorter * max(image.size) / min(image.size)
    if shorter * longer > LARGEST_INPUT**2:
        raise DataError(f'a picture of {image.width} x {image.height} is too narrow to make its shorter side {shorter}')
    image = resize(image, shorter, InterpolationMode.BICUBIC)
    return center_crop(image, crop)


def inferencer(model: str | Path, device: str | torch.device | None = None, show_progress: bool = False) -> Inferencer:
    """The inferencer that suits the weights; arguments as for `Inferencer`.

    Raises:
        ConfigError, CheckpointError: see `Inferencer`; or there is no inferencer for what the network does.
    """
    path = locate(model)
    task = read(path)[1].task
    from a2sg_zoo.apis.detection import DetectionInferencer  # which builds on this module

    known = (ImageClassifierInferencer, SegmentationInferencer, DetectionInferencer)
    cls = next((cls for cls in known if cls.task == task), None)
    if task == 'language':
        raise ConfigError(f'{model} is a language model, which takes a text: use TextGenerator, or --prompt TEXT')
    if cls is None:
        raise ConfigError(f'{model} is for {task}, for which there is no inferencer')
    return cls(path, device, show_progress)


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
