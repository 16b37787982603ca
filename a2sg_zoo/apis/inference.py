"""Pictures in, labels or masks out: inferencers in MMEngine's style.

from a2sg_zoo import ImageClassifierInferencer
result = ImageClassifierInferencer(NAME)('cat.jpg')['predictions'][0]
print(result['name'], result['score'])
"""

from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.transforms import Resize
from mmseg.structures import SegDataSample
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torchvision.transforms.v2.functional import InterpolationMode, center_crop, resize

from a2sg_zoo.apis.base import LARGEST_INPUT, TOOL, Inferencer
from a2sg_zoo.apis.detection import DetectionInferencer
from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub.files import write_output
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.hub.published import read
from a2sg_zoo.utils.models import input_channels
from a2sg_zoo.visualization import overlay


class ImageClassifierInferencer(Inferencer):
    """Says what is in a picture, which becomes grey for networks of one channel.

    A prediction is dict(input=path or None, label=number of the class, name=of the class, score=its probability,
    scores=[of all classes]); probabilities are those of the mean logits over time. See `Inferencer` for arguments.
    """

    task = 'classification'

    def _init_pipeline(self, cfg):
        resize = self.description.resize
        if set(resize) - {'interpolation'} not in ({'size'}, {'shorter', 'crop'}):
            raise ConfigError(
                'these weights do not say how a picture becomes what the network takes; those trained on events take '
                'none, and a test pipeline may have torchvision/Resize and then torchvision/CenterCrop, no other step '
                f'(resize = {resize})'
            )
        return super()._init_pipeline(cfg)

    def preprocess_image(self, image: np.ndarray) -> dict[str, Any]:
        picture = fit(Image.fromarray(image), **self.description.resize)
        # there is no label to compare with
        return dict(inputs=to_tensor(picture, input_channels(self.model.backbone)), data_samples=-1)

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
        return write_output(sheet, path.with_name(f'{path.name}.png'), TOOL)


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
            # JSON has lists, and mmcv takes tuples
            given = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
            self._resize = Resize(**given) if given else None
        except (TypeError, ValueError, AssertionError) as error:
            raise ConfigError(f'these weights do not say how a picture is resized: resize = {arguments}') from error
        return super()._init_pipeline(cfg)

    def preprocess_image(self, image: np.ndarray) -> dict[str, Any]:
        results = dict(img=mmcv.imconvert(image, 'rgb', 'bgr'))  # the order of the data sets for segmentation
        if self._resize is not None:
            height, width = image.shape[:2]
            if self._resize.scale is None and np.prod(self._resize.scale_factor) * height * width > LARGEST_INPUT**2:
                raise DataError('the enlarged picture would take too much memory')
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
        write_output(mask, path.with_name(f'{path.name}_mask.png'), TOOL)
        tinted = Image.fromarray(overlay(image, prediction['mask'], self.description.palette))
        return write_output(tinted, path.with_name(f'{path.name}.png'), TOOL)


def fit(
    image: Image.Image,
    size: int | None = None,
    shorter: int | None = None,
    crop: int | None = None,
    interpolation: int | None = None,
) -> Image.Image:
    """A PIL image resized as `Description.resize` says: to size x size, or its shorter side to `shorter`, of which the
    middle crop x crop. The interpolation is one of PIL's numbers.

    Raises:
        DataError: the longer side would become too long.
    """
    if size is not None:
        mode = Image.Resampling.BILINEAR if interpolation is None else Image.Resampling(interpolation)
        return image if image.size == (size, size) else image.resize((size, size), mode)
    longer = shorter * max(image.size) / min(image.size)
    if shorter * longer > LARGEST_INPUT**2:
        raise DataError(f'a picture of {image.width} x {image.height} is too narrow to make its shorter side {shorter}')
    image = resize(image, shorter, InterpolationMode.BICUBIC if interpolation is None else interpolation)
    return center_crop(image, crop)


def to_tensor(picture: Image.Image, channels: int | None) -> torch.Tensor:
    """The values of a picture, uint8 (3, H, W), red first; for networks of one channel its grey values, (1, H, W)."""
    values = np.array(picture.convert('L' if channels == 1 else 'RGB'))
    return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1)


def inferencer(model: str | Path, device: str | torch.device | None = None, show_progress: bool = False) -> Inferencer:
    """The inferencer that suits the weights; arguments as for `Inferencer`.

    Raises:
        ConfigError, CheckpointError: see `Inferencer`; or there is no inferencer for what the network does.
    """
    path = locate(model)
    task = read(path)[1].task
    known = (ImageClassifierInferencer, SegmentationInferencer, DetectionInferencer)
    cls = next((cls for cls in known if cls.task == task), None)
    if task == 'language':
        raise ConfigError(f'{model} is a language model, which takes a text: use TextGenerator, or --prompt TEXT')
    if cls is None:
        raise ConfigError(f'{model} is for {task}, for which there is no inferencer')
    return cls(path, device, show_progress)
