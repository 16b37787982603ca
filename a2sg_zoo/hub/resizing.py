"""A published network with another number of classes or of time steps."""

from collections.abc import Container, Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.description import MOST_CLASSES, MOST_TIME_STEPS
from a2sg_zoo.utils.checks import integer

# parts of a network that have one output a class
_HEADS = ('head', 'decode_head', 'auxiliary_head', 'detection_head')


def resized_config(
    config: Mapping[str, Any], num_classes: int | None = None, T: int | None = None, where: str = 'model'
) -> dict[str, Any]:
    """The config of a network with another number of classes or of time steps.

    Args:
        config: part `model` of a config.
        num_classes: number of classes of all heads; None for those of the config.
        T: number of time steps of the backbone; None for that of the config.
        where: begins the messages, such as the name of the network.

    Returns:
        A copy with the new numbers. Class weights of a loss are left out if there is another number of classes.

    Raises:
        ConfigError: a number is out of bounds, or the network has no such number.

    >>> resized_config(dict(backbone=dict(T=4), head=dict(num_classes=10)), num_classes=3, T=2)
    {'backbone': {'T': 2}, 'head': {'num_classes': 3}}
    """
    resized: dict[str, Any] = deepcopy(dict(config))
    if num_classes is not None:
        _require_between('num_classes', num_classes, 2, MOST_CLASSES, where)  # one class leaves nothing to learn
        heads = [head for head in heads_of(resized) if 'num_classes' in head]
        if not heads:
            raise ConfigError(f'{where}: num_classes = {num_classes}, but this network has no head for classes')
        for head in heads:
            _set_classes(head, num_classes)
    if T is not None:
        _require_between('T', T, 1, MOST_TIME_STEPS, where)
        backbone = resized.get('backbone')
        if not isinstance(backbone, dict):
            raise ConfigError(f'{where}: T = {T}, but this network has no backbone with time steps')
        backbone['T'] = T
        test_cfg = resized.get('test_cfg')
        if isinstance(test_cfg, dict):
            test_cfg.pop('T', None)  # the number of time steps of a prediction
    return resized


def _require_between(name: str, value: Any, least: int, most: int, where: str) -> None:
    if integer(name, value, where, least) > most:
        raise ConfigError(f'{where}: {name} = {value:,} is too large; at most {most:,} are accepted')


def heads_of(config: Mapping[str, Any]) -> Iterator[dict]:
    """The configs of the heads in the config of a network."""
    for name in _HEADS:
        heads = config.get(name)
        yield from (head for head in (heads if isinstance(heads, list) else [heads]) if isinstance(head, dict))


def _set_classes(head: dict, num_classes: int) -> None:
    if head['num_classes'] == num_classes:
        return
    head['num_classes'] = num_classes
    head.pop('out_channels', None)  # MMSegmentation's heads: by default one for each class
    for key in ('loss', 'loss_decode'):
        losses = head.get(key)
        for loss in losses if isinstance(losses, list) else [losses]:
            if isinstance(loss, dict):
                loss.pop('class_weight', None)


def resized_widths(weights: Mapping[str, torch.Tensor], names: Container[str], T: int) -> dict[str, torch.Tensor]:
    """Weights in which the neurons have a width of the surrogate's window for each of T time steps.

    Widths of another number of time steps are replaced by their mean over time, one for each layer. The output of a
    network does not depend on them, only its training does.

    Args:
        weights: {name: tensor}.
        names: of the widths.
        T: number of time steps.

    >>> resized_widths({'lif.beta': torch.tensor([1.0, 2.0])}, {'lif.beta'}, 3)
    {'lif.beta': tensor([1.5000, 1.5000, 1.5000])}
    """
    return {
        name: x.mean().expand(T).clone() if name in names and x.numel() not in (1, T) else x
        for name, x in weights.items()
    }
