"""Data loaders of a run: their items are checked, and their classes are those of the network, the weights and each
other."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from torch import nn

from a2sg_zoo.datasets.classes import classes_of, listed, require_same_classes
from a2sg_zoo.engine.signatures import keys_of
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import DATASETS

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_ADVICE = (
    'A label is a position in this list, so the scores would be those of other classes. Give the data the same classes '
    'in the same order'
)


def checked_loader(settings: Mapping[str, Any], name: str, model: nn.Module) -> dict[str, Any]:
    """The settings of a data loader, with a data set whose items are checked against the network; see `CheckedDataset`.

    Args:
        settings: of the loader, as in a config.
        name: of the loader, such as 'train_dataloader'.
        model: the network.
    """
    from a2sg_zoo.models.classifiers import SpikingClassifier

    head = getattr(model, 'decode_head', None) or getattr(model, 'head', None) or getattr(model, 'detection_head', None)
    training, segmentation = name == 'train_dataloader', hasattr(model, 'decode_head')
    # what a network of another kind takes is its own affair
    task = 'segmentation' if segmentation else 'classification' if isinstance(model, SpikingClassifier) else None
    if hasattr(model, 'detection_head'):
        task = 'detection'
    preprocessor = getattr(model, 'data_preprocessor', None)
    mean = getattr(preprocessor, 'mean', None)
    if segmentation:  # MMSegmentation pads the images of a training batch if it is told to what
        padded = any(getattr(preprocessor, key, None) is not None for key in ('size', 'size_divisor'))
        same_size = not (training and padded)
    else:
        same_size = 'default_collate' in str((settings.get('collate_fn') or {}).get('type'))
    dataset = dict(
        type='checked_dataset',
        dataset=settings['dataset'],
        name=name,
        task=task,
        num_classes=getattr(head, 'num_classes', None),
        ignore_index=getattr(head, 'ignore_index', 255),
        same_size=same_size,
        training=training,
        scale=None if mean is None else float(mean.max()),
    )
    return {**settings, 'dataset': dataset}


def check_classes(model: nn.Module, dataset: Any, where: str) -> None:
    """Checks that a network has as many outputs as a data set has classes.

    Args:
        model: network with a `head`, `decode_head` or `detection_head`.
        dataset: data set; its `metainfo` may name its classes.
        where: what the message calls it, such as 'the training data'.

    Raises:
        ConfigError: the numbers differ.
    """
    classes = classes_of(dataset)
    for name in ('decode_head', 'head', 'detection_head'):
        number = getattr(getattr(model, name, None), 'num_classes', None)
        if number is not None and classes is not None and number != len(classes):
            raise ConfigError(
                f'model.{name}.num_classes = {number}, but {where} has {len(classes)} classes: {listed(classes)}'
            )


class ClassNames:
    """The names of the classes of a run, as its data sets and its weights give them: all must be the same.

    >>> names = ClassNames()
    >>> names.add(['cat', 'dog'], 'train_dataloader')
    >>> names.add(['dog', 'cat'], 'val_dataloader')
    Traceback (most recent call last):
    ...
    a2sg_zoo.errors.ConfigError: ...
    """

    def __init__(self) -> None:
        self._known: list[str] | None = None
        self._known_from = ''

    def add(self, names: list[str] | None, where: str, advice: str = _ADVICE) -> None:
        """Compares names with those that were added before.

        Args:
            names: of the classes; None where they are unknown.
            where: where they are from.
            advice: what the message advises.

        Raises:
            ConfigError: they differ; the message names the classes.
        """
        if names is None:
            return
        if self._known is None:
            self._known, self._known_from = names, where
            return
        try:
            require_same_classes(names, where, self._known, self._known_from)
        except ConfigError as error:
            raise ConfigError(f'{error}. {advice}') from error


def set_classes(cfg: Config, name: str, classes: list[str]) -> None:
    """Has a data set take its classes from weights, if it reads them from the names of folders.

    Args:
        cfg: a config.
        name: of the loader.
        classes: of the weights, in the order of their labels.
    """
    dataset = (cfg.get(name) or {}).get('dataset')
    kind = dataset.get('type') if isinstance(dataset, dict) else None
    target = DATASETS.get(kind) if isinstance(kind, str) else kind
    if target is not None and 'classes' in (keys_of(target)[0] or ()) and not dataset.get('classes'):
        dataset.classes = list(classes)
