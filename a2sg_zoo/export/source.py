"""The network that is exported, and the file it is written to."""

from pathlib import Path

from torch import nn

from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub import published
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of
from a2sg_zoo.hub.describing import describe
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.hub.pretrained import locate


def load(model: str | Path, checkpoint: str | Path | None = None) -> tuple[nn.Module, published.Description, str]:
    """Load a network with its weights.

    Args:
        model: name of pretrained weights, a file of `a2sg-zoo publish`, or a checkpoint of `a2sg-zoo train`; or, with a
            `checkpoint`, a config file.
        checkpoint: weights for the config. If they do not name their classes, the classes are numbered.

    Returns:
        (network in evaluation mode, its description, name of the weights or the config).

    Raises:
        ConfigError: the config cannot be used, or a config has no checkpoint.
        CheckpointError: the weights cannot be read, or do not fit the network.
    """
    if checkpoint is None:
        if Path(model).suffix == '.py':
            raise ConfigError(f'{model} is a config and has no weights; name a checkpoint after it')
        network, description = published.load(locate(model))
        return network, description, Path(model).name.removeprefix('zoo:')
    cfg = prepare_config(model)
    contents = read_checkpoint(checkpoint)
    weights = weights_of(contents, checkpoint)
    meta = contents.get('meta') if isinstance(contents.get('meta'), dict) else {}
    known = meta.get('dataset_meta') or {}
    if 'classes' not in known:
        heads = (cfg.model.get(name) for name in ('decode_head', 'head', 'detection_head'))
        number = next(head for head in heads if head)['num_classes']
        known = dict(classes=[str(i) for i in range(number)], palette=[[i % 256] * 3 for i in range(number)])
    description = describe(cfg, known, str(model))
    network = published.construct(description.model, str(model))
    load_into(network, weights, checkpoint)
    return network.eval(), description, Path(model).stem


def require_free(path: str | Path, force: bool) -> None:
    """Check that a file may be written.

    Args:
        path: path of the file.
        force: whether an existing file may be replaced.

    Raises:
        ConfigError: the file exists and may not be replaced.
    """
    if Path(path).exists() and not force:
        raise ConfigError(f'{path} exists and is not replaced; choose another name, or pass --force')


def save(contents: bytes, path: str | Path, force: bool = False) -> None:
    """Write an exported file; an interruption never leaves a part of it.

    Args:
        contents: contents of the file.
        path: path of the file.
        force: whether an existing file may be replaced.

    Raises:
        ConfigError: the file exists and may not be replaced.
    """
    require_free(path, force)
    write_atomically(contents, path)
