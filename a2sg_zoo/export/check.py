"""Compare an exported file with the network it was made from, on pictures."""

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmseg.structures import SegDataSample
from PIL import Image

from a2sg_zoo.apis.inference import fit, to_tensor
from a2sg_zoo.apis.sources import read_image
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError, DataError
from a2sg_zoo.export.deployed import Deployed


class Row(NamedTuple):
    """The result for one picture.

    Attributes:
        picture: path or address of the picture.
        ours: class that the network predicts; for a segmentation, the most frequent class.
        theirs: class that the exported file predicts; for a segmentation, the most frequent class.
        agreement: 1 or 0, whether the classes are the same; for a segmentation, the share of the pixels.
        difference: largest absolute difference of the logits.
    """

    picture: str
    ours: str
    theirs: str
    agreement: float
    difference: float


def compare(contents: bytes, kind: str, network: Any, deployed: Deployed, sources: Iterable[Any]) -> list[Row]:
    """Run pictures through the network, with its own preprocessor, and through an exported file.

    Args:
        contents: contents of the file.
        kind: 'onnx' (it runs in onnxruntime) or 'nir' (it runs in SpikingJelly).
        network: the network, a `SpikingClassifier` or a segmentor of MMSegmentation.
        deployed: the module that was exported.
        sources: pictures, such as paths, see `a2sg_zoo.apis.sources.read_image`.

    Returns:
        A `Row` for each picture.

    Raises:
        DataError: a picture cannot be read, or the network takes event frames.
        ConfigError: a package that runs the file is not installed.
        CheckpointError: logits of the network are NaN or infinite.
        A2SGError: only logits of the file are NaN or infinite.
    """
    if not deployed.takes_pictures:
        raise DataError('this network takes event frames, so pictures cannot check it; leave out --check')
    run = dict(onnx=_onnx, nir=_nir)[kind](contents, deployed)
    rows, classes = [], deployed.description.classes
    for source in sources:
        image = to_tensor(_resize(read_image(source), deployed), deployed.input_shape[0])[None]
        ours, theirs = _run_network(network, deployed, image), run(image)
        _require_finite(ours, CheckpointError, f'{source}: logits of the network', 'its weights are of no use')
        _require_finite(theirs, A2SGError, f'{source}: logits of the exported file', 'the file must not be used')
        labels, others = ours.argmax(0), theirs.argmax(0)
        found, expected = (classes[np.bincount(x.ravel()).argmax()] for x in (others, labels))
        agreement, difference = float((labels == others).mean()), float(np.abs(ours - theirs).max())
        rows.append(Row(str(source), expected, found, agreement, difference))
    return rows


def _require_finite(logits: np.ndarray, kind: type[A2SGError], what: str, consequence: str) -> None:
    # NaN has no largest entry, so an agreement of classes would say nothing
    bad = int((~np.isfinite(logits)).sum())
    if bad:
        raise kind(f'{what}: {bad} of {logits.size} are NaN or infinite; {consequence}')


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a text table with aligned columns."""
    lines = [
        ('picture', 'ours', 'exported', 'agreement', 'max |difference|'),
        *((row.picture, row.ours, row.theirs, f'{row.agreement:.1%}', f'{row.difference:.1e}') for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _resize(image: np.ndarray, deployed: Deployed) -> Image.Image:
    """A picture (H, W, 3) in the size of the exported file's input."""
    H, W = deployed.input_shape[-2:]
    picture = Image.fromarray(image)
    if deployed.task == 'classification' and deployed.description.resize:
        picture = fit(picture, **deployed.description.resize)
    return picture if picture.size == (W, H) else picture.resize((W, H), Image.Resampling.BILINEAR)


@torch.no_grad()
def _run_network(network: Any, deployed: Deployed, image: torch.Tensor) -> np.ndarray:
    """Logits (classes,) or (classes, H, W) of a picture (1, 3 or 1, H, W)."""
    if deployed.task == 'classification':
        (found,) = network.test_step(dict(inputs=image, data_samples=torch.tensor([-1])))
        return found['logits'].mean(0).numpy()
    size = tuple(image.shape[-2:])
    sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))
    # data sets for segmentation load pictures with the blue channel first
    (found,) = network.test_step(dict(inputs=[image[0].flip(0)], data_samples=[sample]))
    return found.seg_logits.data.numpy()


def _onnx(contents: bytes, deployed: Deployed) -> Callable[[torch.Tensor], np.ndarray]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f'checking the file needs the package {error.name}: pip install "a2sg-zoo[export]"'
        ) from error
    session = onnxruntime.InferenceSession(contents, providers=['CPUExecutionProvider'])
    return lambda image: session.run(['logits'], {'images': image.numpy()})[0][0]


def _nir(contents: bytes, deployed: Deployed) -> Callable[[torch.Tensor], np.ndarray]:
    try:
        import nir
        from spikingjelly.activation_based.nir_exchange import import_from_nir
    except ImportError as error:
        raise ConfigError(
            f'checking the file in SpikingJelly needs the package {error.name}: pip install "a2sg-zoo[peers]"'
        ) from error
    graph = nir.read(io.BytesIO(contents))
    with _quiet():
        try:
            simulated = import_from_nir(graph, dtype=deployed.dtype, step_mode='m')
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(f'SpikingJelly cannot read this graph, so the file is not checked: {error}') from error

    @torch.no_grad()
    def run(image):
        x = deployed.normalise(image)
        return simulated(x.expand(deployed.T, *x.shape))[0].mean(0)[0].numpy()

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, SpikingJelly's loggers are silent below warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
