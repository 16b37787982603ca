"""The functions that a notebook imports: `list_models`, `info`, `get_model`, `create_model`."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from a2sg_zoo.engine.config_names import shipped_configs
from a2sg_zoo.errors import ConfigError, printable
from a2sg_zoo.hub.index import ADDRESSES, matches, names, suggestion

if TYPE_CHECKING:  # a list of names takes no torch
    import torch
    from torch import nn


def list_models(
    filter: str | Sequence[str] = '*',
    task: str | None = None,
    exclude: str | Sequence[str] = (),
    pretrained: bool = True,
) -> list[str]:
    """Lists the names that `get_model` and `create_model` take.

    Args:
        filter: pattern such as '*cifar10*', or a list of patterns; upper and lower case are the same.
        task: 'classification', 'segmentation', 'detection' or 'language'; None for all.
        exclude: patterns of names to leave out.
        pretrained: list the pretrained weights of the zoo. Otherwise: the shipped configs, from which `create_model`
            builds networks with initial weights.

    Raises:
        ConfigError: there is no such task, or `task` is given for configs.

    >>> list_models('*digits*')
    ['resnet_small_digits_tri']
    >>> list_models(['*cifar10*', '*camvid*'], task='classification', exclude='resnet*')
    ['spikformer_2_128_cifar10_tri']
    """
    if pretrained:
        return names(filter, task, exclude)
    if task is not None:
        raise ConfigError('task selects pretrained weights alone; select configs by their names, such as *ade20k*')
    return [name for name in shipped_configs() if matches(name, filter) and not matches(name, exclude)]


def info(name: str) -> dict[str, Any]:
    """Everything that the index says about pretrained weights: task, config, data, recipe, metrics...

    Args:
        name: as in `list_models()`, or 'hf:OWNER/NAME[@REVISION]'.

    Returns:
        dictionary; `a2sg_zoo.hub.index.FIELDS` lists its keys.

    Raises:
        ConfigError: the zoo has none of this name.
        CheckpointError: the repository cannot be reached, or is not one of a2sg_zoo.
    """
    from a2sg_zoo.hub.pretrained import find_entry

    return dict(name=name, **deepcopy(find_entry(name).facts))


def get_model(
    name: str,
    pretrained: bool = True,
    device: str | torch.device = 'cpu',
    *,
    num_classes: int | None = None,
    T: int | None = None,
) -> nn.Module:
    """Builds a network of the zoo, in evaluation mode.

    The file is downloaded where it is not shipped or cached; see `a2sg_zoo.hub.pretrained.pretrained_file`.

    Args:
        name: as in `list_models()`; or 'hf:OWNER/NAME[@REVISION]', a repository of the Hugging Face Hub that
            `a2sg-zoo publish --push` made. The revision is a branch, a tag or a commit.
        pretrained: load its weights; otherwise it has initial weights, and nothing is downloaded.
        device: device of the network.
        num_classes: number of classes. If the weights are for another number, the last layer of the head has initial
            weights.
        T: number of time steps. If the weights are for another number, the width of the surrogate's window in each
            layer is the mean of its widths over time. Weights for each time step, such as those of `PSN`, have no other
            number.

    Returns:
        `SpikingClassifier`, from normalised images (B, 3, H, W) to logits (T, B, classes), or MMSegmentation's
        `EncoderDecoder`, to logits (B, classes, h, w), or `SpikingDetector`, to boxes, scores and labels; or
        `LanguageModel`, from bytes (B, T) to logits (T, B, 256) of the bytes that follow.
        `model.data_preprocessor` normalises. `model.classes` holds the
        names of the classes; None where the last layer of the head has initial weights.

    Raises:
        ConfigError: the zoo has no such name, the device does not exist, or the network cannot have so many classes or
            time steps.
        CheckpointError: the file cannot be downloaded, is damaged, or does not fit.

    >>> get_model('resnet_small_digits_tri').classes[:3]
    ['0', '1', '2']
    >>> get_model('resnet_small_digits_tri', num_classes=3, T=2).head.num_classes
    3
    """
    from a2sg_zoo.hub import published
    from a2sg_zoo.hub.pretrained import find_entry, pretrained_file
    from a2sg_zoo.hub.resizing import resized_config

    if pretrained:
        model, description = published.load(pretrained_file(name), device, num_classes, T)
        model.classes = description.classes or None  # type: ignore[assignment]
        return model
    entry = find_entry(name)
    config = resized_config(entry['model'], num_classes, T, name)
    model = published.build(config, f'index of weights {entry.index}: {name}')
    model.classes = None
    return published.move(model, device).eval()


def create_model(
    name: str,
    pretrained: bool = False,
    num_classes: int | None = None,
    T: int | None = None,
    device: str | torch.device = 'cpu',
) -> nn.Module:
    """Builds a network for training, with the arguments that users of timm know.

    `get_model` with another order of arguments, in training mode. It also knows the networks of the shipped configs.

    Args:
        name: name of pretrained weights, see `get_model`; or of a shipped config, as in
            `list_models(pretrained=False)`.
        pretrained: load the weights of that name; otherwise the network has initial weights: those of the config, and
            PyTorch's for a name of pretrained weights.
        num_classes, T, device: see `get_model`.

    Returns:
        The network in training mode.

    Raises:
        ConfigError: there is no such name, it has no pretrained weights, or see `get_model`.
        CheckpointError: see `get_model`.

    >>> model = create_model('resnet_small_digits_tri', pretrained=True, num_classes=7)
    >>> model.training, model.head.num_classes
    (True, 7)
    >>> create_model('spikformer_4_384_cifar10', T=2).backbone.T
    2
    """
    weights = names()
    if name in weights or name.startswith(ADDRESSES):
        return get_model(name, pretrained, device, num_classes=num_classes, T=T).train()
    configs = shipped_configs()
    if name not in configs:
        raise ConfigError(f'there is no network named {printable(name)!r}; {suggestion(name, [*weights, *configs])}')
    if pretrained:
        trained = [weight for weight in weights if weight.startswith(f'{name}_')]
        raise ConfigError(
            f'config {name} has no pretrained weights of this name; '
            + (f'it has {", ".join(trained)}' if trained else 'leave out pretrained=True')
        )
    return _network_of_config(name, num_classes, T, device).train()


def _network_of_config(name: str, num_classes: int | None, T: int | None, device: str | torch.device) -> nn.Module:
    from a2sg_zoo.engine.config import load_config
    from a2sg_zoo.hub import published
    from a2sg_zoo.hub.resizing import resized_config

    cfg = load_config(name)
    config = cfg.model.to_dict()
    if cfg.get('data_preprocessor'):
        config.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    model = published.construct(resized_config(config, num_classes, T, f'config {name}'), f'config {name}')
    _init_weights(model)
    model.classes = None
    return published.move(model, device)


def _init_weights(model: nn.Module) -> None:
    """Gives a network the initial weights that its config asks for, and none of a file."""
    import logging

    from mmengine.logging import MMLogger

    for module in model.modules():
        asked = getattr(module, 'init_cfg', None) or ()
        asked = [asked] if isinstance(asked, dict) else list(asked)
        kept = [config for config in asked if config['type'] != 'Pretrained']
        module.init_cfg = kept or None  # type: ignore[assignment]
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)  # MMEngine lists each parameter
    try:
        model.init_weights()  # type: ignore[operator]
    finally:
        logger.setLevel(level)
