"""The functions that a notebook imports: `list_models`, `info`, `get_model`."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from a2sg_zoo.hub.index import find, names

if TYPE_CHECKING:  # a list of names takes no torch
    import torch
    from torch import nn


def list_models(pattern: str = '*') -> list[str]:
    """Lists the names of the pretrained weights in the zoo.

    Args:
        pattern: such as '*cifar10*'; upper and lower case are the same.

    >>> list_models('*digits*')
    ['resnet_small_digits_tri']
    """
    return names(pattern)


def info(name: str) -> dict[str, Any]:
    """Everything that the index says about pretrained weights: task, config, data, recipe, metrics...

    Args:
        name: as in `list_models()`.

    Returns:
        dictionary; `a2sg_zoo.hub.index.FIELDS` lists its keys.

    Raises:
        ConfigError: the zoo has none of this name.
    """
    return dict(name=name, **deepcopy(find(name).facts))


def get_model(name: str, pretrained: bool = True, device: str | torch.device = 'cpu') -> nn.Module:
    """Builds a network of the zoo, in evaluation mode.

    The file is downloaded where it is not shipped or cached; see `a2sg_zoo.hub.pretrained.pretrained_file`.

    Args:
        name: as in `list_models()`.
        pretrained: load its weights; otherwise it has initial weights, and nothing is downloaded.
        device: device of the network.

    Returns:
        `SpikingClassifier`, from normalised images (B, 3, H, W) to logits (T, B, classes), or MMSegmentation's
        `EncoderDecoder`, to logits (B, classes, h, w). `model.data_preprocessor` normalises. `model.classes` holds the
        names of the classes (pretrained only).

    Raises:
        ConfigError: the zoo has no such name, or the device does not exist.
        CheckpointError: the file cannot be downloaded, is damaged, or does not fit.

    >>> get_model('resnet_small_digits_tri').classes[:3]
    ['0', '1', '2']
    """
    from a2sg_zoo.hub import published
    from a2sg_zoo.hub.pretrained import pretrained_file

    if pretrained:
        model, description = published.load(pretrained_file(name), device)
        model.classes = description.classes  # type: ignore[assignment]
        return model
    facts = find(name)
    model = published.build(facts['model'], f'index of weights {facts.index}: {name}')
    return published.move(model, device).eval()
