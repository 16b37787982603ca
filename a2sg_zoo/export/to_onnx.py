"""Export networks to ONNX."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from a2sg_zoo import __version__
from a2sg_zoo.errors import A2SGError, ConfigError
from a2sg_zoo.export.deployed import Deployed, exportable


def to_onnx(deployed: Deployed, name: str) -> bytes:
    """Export a network to ONNX, with unrolled time steps and a free batch size.

    The input is `images`, uint8 (batch, 3, H, W) with the red channel first or (batch, 1, H, W) of grey values, or, for
    event cameras, `frames`, floating point (batch, T, C, H, W). The output is `logits`, see `Deployed`. The metadata
    repeat this, with name, task, classes, T and the version of this package, each as JSON.

    Args:
        deployed: the network.
        name: name of the weights or the config, for the metadata.

    Returns:
        The contents of the file.

    Raises:
        ConfigError: onnx or onnxscript is not installed.
        A2SGError: torch's exporter cannot trace the network.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise ConfigError(f'ONNX needs the package {error.name}: pip install "a2sg-zoo[export]"') from error
    source = 'images' if deployed.takes_pictures else 'frames'
    example = torch.zeros(2, *deployed.input_shape, dtype=torch.uint8 if deployed.takes_pictures else deployed.dtype)
    try:
        with exportable(deployed), torch.no_grad(), _quiet():
            program = torch.onnx.export(
                deployed,
                (example,),
                dynamo=True,
                input_names=[source],
                output_names=['logits'],
                verbose=False,
                dynamic_shapes=({0: torch.export.Dim('batch', min=1)},),
            )
    except (torch.onnx.errors.OnnxExporterError, torch.onnx.OnnxExporterError) as error:
        raise A2SGError(f'{name}: torch cannot export this network to ONNX: {_cause(error)}') from error
    assert program is not None  # as it is with dynamo=True
    model = program.model_proto
    model.producer_name, model.producer_version = 'a2sg_zoo', __version__
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in facts(deployed, name).items()})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def facts(deployed: Deployed, name: str) -> dict[str, Any]:
    """Return the metadata of an exported file, {key: plain data}.

    Args:
        deployed: the network.
        name: name of the weights or the config.
    """
    description, shape = deployed.description, deployed.input_shape
    values = 'event frames, as the network was trained on'
    if deployed.takes_pictures:
        values = f'uint8, 0..255, {"grey" if shape[0] == 1 else "red first"}'
    return dict(
        name=str(name),
        task=description.task,
        classes=description.classes,
        T=deployed.T,
        resize=description.resize,
        input=f'(batch, {", ".join(map(str, shape))}): {values}',
        a2sg_zoo=__version__,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, torch's exporter does not print what it tries; failures still raise."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _cause(error):
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0]
