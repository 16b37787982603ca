"""An exported file against the network that it was made of, on pictures."""

import io
import logging
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from mmseg.structures import SegDataSample
from PIL import Image

from a2sg_zoo.apis.inference import fit
from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.errors import ConfigError, DataError


class Row(NamedTuple):
    """What became of a picture.

    Attributes:
        picture: where it came from.
        ours, theirs: class that the network and the exported file find; of a segmentation, the most frequent one.
        agreement: share of the answers that agree: of a classification 0 or 1, of a segmentation that of the pixels.
        difference: largest absolute difference of the logits.
    """

    picture: str
    ours: str
    theirs: str
    agreement: float
    difference: float


def compare(contents, kind, network, deployed, sources):
    """Runs pictures through the network, as it is and with its own preprocessor, and through an exported file.

    Args:
        contents: of the file, bytes.
        kind: 'onnx', run in onnxruntime, or 'nir', run in SpikingJelly.
        network: the network itself.
        deployed: the `Deployed` that was exported.
        sources: pictures, as `a2sg_zoo.apis.sources.read_image` takes them.

    Returns:
        a `Row` for each.

    Raises:
        DataError: a picture cannot be read, or the network takes none.
        ConfigError: what runs the file is not installed.
    """
    if not deployed.takes_pictures:
        raise DataError('this network takes events, and no picture can check it; leave --check out')
    run = dict(onnx=_onnx, nir=_nir)[kind](contents, deployed)
    rows, classes = [], deployed.description.classes
    for source in sources:
        image = torch.from_numpy(_sized(read_image(source), deployed)).permute(2, 0, 1)[None]
        ours, theirs = _own(network, deployed, image), run(image)
        labels, others = ours.argmax(0), theirs.argmax(0)
        rows.append(
            Row(
                str(source),
                *(classes[np.bincount(x.ravel()).argmax()] for x in (labels, others)),
                float((labels == others).mean()),
                float(np.abs(ours - theirs).max()),
            )
        )
    return rows


def table(rows):
    """The rows as text."""
    lines = [
        ('picture', 'ours', 'exported', 'agreement', 'max |difference|'),
        *((row.picture, row.ours, row.theirs, f'{row.agreement:.1%}', f'{row.difference:.1e}') for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _sized(image, deployed):
    H, W = deployed.input_shape[-2:]
    picture = Image.fromarray(image)
    if deployed.task == 'classification' and deployed.description.resize:
        picture = fit(picture, **deployed.description.resize)
    return np.array(picture if picture.size == (W, H) else picture.resize((W, H), Image.Resampling.BILINEAR))


@torch.no_grad()
def _own(network, deployed, image):
    """Logits (classes,) or (classes, H, W)."""
    if deployed.task == 'classification':
        (found,) = network.test_step(dict(inputs=image, data_samples=torch.tensor([-1])))
        return found['logits'].mean(0).numpy()
    size = tuple(image.shape[-2:])
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))
    # data sets for segmentation load blue first
    (found,) = network.test_step(dict(inputs=[image[0].flip(0)], data_samples=[sample]))
    return found.seg_logits.data.numpy()


def _onnx(contents, deployed):
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f'{error.name} is needed to check the file: pip install "a2sg-zoo[export]"') from error
    session = onnxruntime.InferenceSession(contents, providers=['CPUExecutionProvider'])
    return lambda image: session.run(['logits'], {'images': image.numpy()})[0][0]


def _nir(contents, deployed):
    try:
        import nir
        from spikingjelly.activation_based.nir_exchange import import_from_nir
    except ImportError as error:
        raise ConfigError(
            f'to check the file by SpikingJelly, {error.name} is needed: pip install "a2sg-zoo[peers]"'
        ) from error
    graph = nir.read(io.BytesIO(contents))
    with _quiet():
        try:
            simulated = import_from_nir(graph, dtype=deployed.dtype, step_mode='m')
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(f'SpikingJelly cannot read this graph, so it was not checked: {error}') from error

    @torch.no_grad()
    def run(image):
        x = deployed.normalise(image)
        return simulated(x.expand(deployed.T, *x.shape))[0].mean(0)[0].numpy()

    return run


@contextmanager
def _quiet():
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
