"""Pictures in, labels or masks out: inferencers in MMEngine's style.

from a2sg_zoo import ImageClassifierInferencer
result = ImageClassifierInferencer(NAME)('cat.jpg')['predictions'][0]
print(result['name'], result['score'])
"""

import io
import time
from itertools import repeat
from pathlib import Path, PurePosixPath
from urllib.request import url2pathname

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import Resize
from mmengine.infer import BaseInferencer
from mmseg.structures import SegDataSample
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torchvision.transforms.v2.functional import InterpolationMode, center_crop, resize

from a2sg_zoo.errors import ConfigError, DataError
from a2sg_zoo.hub import web
from a2sg_zoo.hub.pretrained import locate
from a2sg_zoo.hub.published import load, read
from a2sg_zoo.registry import SCOPE
from a2sg_zoo.visualization import overlay

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')
_WEB = ('http://', 'https://')
# of a picture from the web: bytes, seconds without any, and seconds in all
_LARGEST = 64 << 20
_STALL = 30
_SECONDS = 120


class Inferencer(BaseInferencer):
    """Base of the inferencers: MMEngine's, but that it builds the network from what the weight file says of itself
    (MMEngine's own would run the config in a checkpoint as a program), and that pictures are written as they are made.

    Args:
        model: name in the zoo, a file of `tools/publish.py`, or a checkpoint of `tools/train.py`.
        device: such as 'cuda:0'; by default the first accelerator, or else the CPU.
        show_progress: whether a bar shows how far it is.

    Raises:
        ConfigError: the zoo has no such name, the network does something else, or the device is not there.
        CheckpointError: the weights cannot be had or read.
    """

    task = None
    # what the names of the pictures of a result end in
    endings = ('.png',)

    def __init__(self, model, device=None, show_progress=False):
        super().__init__(weights=str(model), device=device, scope=SCOPE, show_progress=show_progress)

    def __call__(self, inputs, batch_size=1, out_dir=None, keep_going=False):
        """Args:
            inputs: a picture, a folder of them, or a list of either. A picture is a path, an http(s): or file:
                address, a PIL image, or an array (H, W, 3) or (H, W), uint8, red first.
            batch_size: how many go through the network at once.
            out_dir: folder for pictures of the results.
            keep_going: whether pictures that cannot be had or read are left out.

        Returns:
            dict(predictions=[a dictionary for each picture, see the class], visualization=[path for each] or None,
            errors=[message for each picture left out]).

        Raises:
            DataError: a picture cannot be had or read, or would be overwritten by a result.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f'batch_size must be a positive integer, got {batch_size!r}')
        sources = self._inputs_to_list(inputs)
        self._targets = repeat(None) if out_dir is None else iter(_targets(sources, Path(out_dir), self.endings))
        self._keep_going, self._errors = keep_going, []
        return super().__call__(sources, batch_size=batch_size)

    def _init_model(self, cfg, weights, device):
        model, self.description = load(locate(weights), device)
        if self.description.task != self.task:
            raise ConfigError(f'{weights} is for {self.description.task}, but {type(self).__name__} does {self.task}')
        return model

    def _init_pipeline(self, cfg):
        return self._prepare

    def _init_collate(self, cfg):
        return lambda items: {key: [item[key] for item in items] for key in items[0]}

    def _get_chunk_data(self, inputs, chunk_size):
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
        if isinstance(inputs, (list, tuple)):
            return [source for item in inputs for source in self._inputs_to_list(item)]
        path = _local(inputs)
        try:
            if path is None or not path.is_dir():
                return [inputs]
            found = sorted(inner for inner in path.iterdir() if inner.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise DataError(f'{inputs} cannot be read: {error.strerror}') from error
        if not found:
            raise DataError(f'folder {inputs} holds no picture NAME{"|".join(SUFFIXES)}')
        return found

    def _prepare(self, source):
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

    def _preprocess(self, image, source):
        try:
            return self.preprocess_image(image)
        except cv2.error as error:  # a side of no pixels
            name = f'picture {source}' if isinstance(source, (str, Path)) else 'a picture'
            raise DataError(
                f'{name} of {image.shape[1]} x {image.shape[0]} is too narrow for what these weights take: '
                f'resize = {self.description.resize}'
            ) from error

    @torch.inference_mode()
    def forward(self, data):
        images, sources, targets = data.pop('image'), data.pop('source'), data.pop('target')
        predictions = []
        for output, image, source, target in zip(self.model.test_step(data), images, sources, targets):
            given = isinstance(source, (str, Path))
            prediction = dict(input=str(source) if given else None, **self.predict(output, image))
            if target is not None:
                prediction['picture'] = self._draw(image, prediction, target)
            predictions.append(prediction)
        return predictions

    def _draw(self, image, prediction, target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return self.draw(image, prediction, target)
        except OSError as error:
            raise DataError(f'no pictures can be written to {target.parent}: {error.strerror or error}') from error

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
        if set(resize) not in ({'size'}, {'shorter', 'crop'}) or not all(
            isinstance(x, int) and x > 0 for x in resize.values()
        ):
            raise ConfigError(
                'these weights do not say how a picture becomes what the network takes; those trained on '
                f'events take none (resize = {resize})'
            )
        return super()._init_pipeline(cfg)

    def preprocess_image(self, image):
        image = fit(Image.fromarray(image), **self.description.resize)
        # there is no label to compare with
        return dict(inputs=torch.from_numpy(np.array(image)).permute(2, 0, 1), data_samples=-1)

    def forward(self, data):
        return super().forward({**data, 'inputs': torch.stack(data['inputs'])})

    def predict(self, output, image):
        scores = output['logits'].float().mean(0).softmax(0).tolist()
        label = max(range(len(scores)), key=scores.__getitem__)
        return dict(label=label, name=self.description.classes[label], score=scores[label], scores=scores)

    def draw(self, image, prediction, path):
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
        path = path.with_name(f'{path.name}.png')
        sheet.save(path)
        return path


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

    def preprocess_image(self, image):
        results = dict(img=mmcv.imconvert(image, 'rgb', 'bgr'))  # the order of the data sets for segmentation
        if self._resize is not None:
            results = self._resize(results)
        # not the picture's own size, to which the logits of all classes would be enlarged: gigabytes for a photograph
        shape = results['img'].shape[:2]
        sample = SegDataSample(metainfo=dict(ori_shape=shape, img_shape=shape))
        return dict(inputs=torch.from_numpy(results['img'].copy()).permute(2, 0, 1), data_samples=sample)

    def predict(self, output, image):
        mask = output.pred_sem_seg.data[0].cpu().numpy()
        mask = mask.astype(np.uint8 if len(self.description.classes) <= 256 else np.uint16)
        height, width = image.shape[:2]
        mask = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        counts = np.bincount(mask.ravel(), minlength=len(self.description.classes))
        order = sorted(np.flatnonzero(counts).tolist(), key=lambda i: -counts[i])
        return dict(mask=mask, shares={self.description.classes[i]: counts[i].item() / mask.size for i in order})

    def draw(self, image, prediction, path):
        mask = Image.fromarray(prediction['mask'])
        if prediction['mask'].dtype == np.uint8:
            mask.putpalette(np.asarray(self.description.palette, np.uint8).tobytes())
        mask.save(path.with_name(f'{path.name}_mask.png'))
        path = path.with_name(f'{path.name}.png')
        Image.fromarray(overlay(image, prediction['mask'], self.description.palette)).save(path)
        return path


def fit(image, size=None, shorter=None, crop=None):
    """A PIL image resized as `Description.resize` says."""
    if size is not None:
        return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)
    image = resize(image, shorter, InterpolationMode.BICUBIC)
    return center_crop(image, crop)


def inferencer(model, device=None, show_progress=False):
    """The inferencer that suits the weights; arguments as for `Inferencer`."""
    path = locate(model)
    task = read(path)[1].task
    cls = next((cls for cls in (ImageClassifierInferencer, SegmentationInferencer) if cls.task == task), None)
    if cls is None:
        raise ConfigError(f'{model} is for {task}, for which there is no inferencer')
    return cls(path, device, show_progress)


def _local(source):
    """The path of a picture, or of a folder, on a disk; None for what is none."""
    if not isinstance(source, (str, Path)) or str(source).lower().startswith(_WEB):
        return None
    address = str(source).lower().startswith('file://')
    return Path(url2pathname(source[len('file://') :]) if address else source)


def _targets(sources, folder, endings):
    """For each picture the path, without its ending, to which its results go: none for two of them.

    Raises:
        DataError: a picture would be overwritten.
    """
    paths = [_local(source) for source in sources]
    pictures = {_identity(path) for path in paths if path is not None} - {None}
    taken, targets = set(), []
    for source, path in zip(sources, paths):
        name = str(source).partition('?')[0].rpartition('/')[2] if isinstance(source, str) else ''
        stem = unique = (PurePosixPath(name).stem if path is None else path.stem) or 'image'
        count = 1
        while not taken.isdisjoint(unique + ending for ending in endings):
            count += 1
            unique = f'{stem}_{count}'
        for file in (unique + ending for ending in endings):
            if _identity(folder / file) in pictures:
                raise DataError(
                    f'the picture {folder / file} would be overwritten by a result; let those go to another folder'
                )
            taken.add(file)
        targets.append(folder / unique)
    return targets


def _identity(path):
    """The same for all paths of one file; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def read_image(source):
    """A picture as an array (H, W, 3), uint8, red first, turned as its EXIF data say; `source` as for `Inferencer`.

    Raises:
        DataError: it is not there, is damaged, or no picture.
    """
    if isinstance(source, np.ndarray):
        if (
            source.dtype != np.uint8
            or source.ndim not in (2, 3)
            or source.ndim == 3
            and source.shape[2] != 3
            or not source.size
        ):
            raise DataError(
                f'an array must be uint8, (H, W, 3) with red first, or (H, W); got {source.dtype} {source.shape}'
            )
        return (
            np.ascontiguousarray(np.broadcast_to(source[..., None], (*source.shape, 3))) if source.ndim == 2 else source
        )
    if not isinstance(source, (str, Path, Image.Image)):
        raise DataError(f'a picture must be a path, an address, an array or a PIL image; got a {type(source).__name__}')
    if not isinstance(source, Image.Image):
        path = _local(source)
        data = _fetch(source) if path is None else _read(path)
    try:
        return _pixels(source if isinstance(source, Image.Image) else Image.open(io.BytesIO(data)))
    except Exception as error:  # a decoder, given anything
        raise DataError(f'picture {source} is damaged, or no picture ({error})') from error


def _pixels(image):
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I'):  # grey in 16 bits, which `convert` would clip to 8
        grey = (np.asarray(image).astype(np.int64).clip(0, 0xFFFF) + 128) // 257
        return np.stack([grey.astype(np.uint8)] * 3, 2)
    return np.asarray(image.convert('RGB'))


def _read(path):
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f'picture {path} cannot be read: {getattr(error, "strerror", None) or error}') from error


def _fetch(url):
    data, end = bytearray(), time.monotonic() + _SECONDS
    try:
        with web.get(url, _STALL) as response:
            web.require_success(response)
            web.refuse_web_page(response, 'a picture')
            for chunk in web.chunks(response, _STALL):
                data += chunk
                if len(data) > _LARGEST:
                    raise web.WebError(f'it is larger than {_LARGEST >> 20} MB; fetch it yourself, and make it smaller')
                if time.monotonic() > end:
                    raise web.WebError(f'it is not there after {_SECONDS:g} s; fetch it yourself')
    except web.WebError as error:
        raise DataError(f'picture {url} cannot be fetched: {error}') from error
    return bytes(data)
