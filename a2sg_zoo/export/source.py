"""Which network is exported, and where to."""

from pathlib import Path

from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub import published
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.hub.pretrained import locate


def load(model, checkpoint=None):
    """(network in evaluation mode, Description, name) of weights that say which network they are for, or of a config
    and a checkpoint.

    Args:
        model: name in the zoo, file of `tools/publish.py`, checkpoint of `tools/train.py`; or else a config file.
        checkpoint: weights for the config. Where they do not name their classes, those are numbered.

    Raises:
        ConfigError, CheckpointError: network or weights cannot be had, or do not belong to each other.
    """
    if checkpoint is None:
        if Path(model).suffix == '.py':
            raise ConfigError(f'{model} is a config, which has no weights: name a checkpoint after it')
        network, description = published.load(locate(model))
        return network, description, Path(model).name.removeprefix('zoo:')
    cfg = prepare_config(model)
    contents = read_checkpoint(checkpoint)
    weights = weights_of(contents, checkpoint)
    meta = contents.get('meta') if isinstance(contents.get('meta'), dict) else {}
    known = meta.get('dataset_meta') or {}
    if 'classes' not in known:
        number = (cfg.model.get('decode_head') or cfg.model.get('head'))['num_classes']
        known = dict(classes=[str(i) for i in range(number)], palette=[[i % 256] * 3 for i in range(number)])
    description = published.describe(cfg, known, model)
    network = published.construct(description.model, model)
    load_into(network, weights, checkpoint)
    return network.eval(), description, Path(model).stem


def require_free(path, force):
    """Raises ConfigError if there is a file already and it is not to be replaced."""
    if Path(path).exists() and not force:
        raise ConfigError(f'{path} exists already, and was left as it is; choose another name, or pass --force')


def save(contents, path, force=False):
    """Writes an exported file, whole or not at all."""
    require_free(path, force)
    write_atomically(contents, path)
