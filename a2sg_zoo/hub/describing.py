"""The description that a trained network's weight file gets: from the config of its run, and what its data set says."""

from collections.abc import Mapping, Sequence
from typing import Any

from a2sg_zoo.errors import CheckpointError, printable
from a2sg_zoo.hub.description import INTERPOLATIONS, Description, checked, require_bounded
from a2sg_zoo.registry import DATASETS

# parts of a config that a published network does not need, or that would make its construction read other files
LEFT_OUT = ('init_cfg', 'pretrained', 'mixing', '_scope_')
# arguments of torchvision's `Resize` that change nothing
_DEFAULTS = (('antialias', True), ('max_size', None))


def describe(cfg: Mapping, dataset_meta: Any, where: str) -> Description:
    """The description of a trained network.

    Args:
        cfg: config of the run, or a dictionary of its parts `model`, `data_preprocessor` and `test_dataloader`.
        dataset_meta: with `classes`, and for a segmentation or detection `palette`.
        where: begins the messages.

    Raises:
        CheckpointError: the config or the classes are missing, or out of bounds; or the test pipeline of a segmentation
            or detection has a step that a description cannot hold. With such a step, a classification has an empty
            `resize`, and pictures are refused.
    """
    try:
        model, classes = cfg['model'], dataset_meta['classes']
        dataset = cfg['test_dataloader']['dataset']
        kind, pipeline = dataset['type'], [dict(step) for step in dataset.get('pipeline') or ()]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f'{where}: it does not name its network or its classes ({type(error).__name__}: {printable(error)[:80]}); '
            'checkpoints of `a2sg-zoo train` and files of `a2sg-zoo publish` do'
        ) from error
    require_bounded(model, where)
    require_bounded(pipeline, where, 'pipeline')
    model = _plain(model)
    if 'data_preprocessor' not in model and cfg.get('data_preprocessor'):
        require_bounded(cfg['data_preprocessor'], where, 'data_preprocessor')
        model['data_preprocessor'] = _plain(cfg['data_preprocessor'])
    steps = [(str(step.get('type')).rpartition('/')[2], _plain(step)) for step in pipeline]
    if not isinstance(classes, (list, tuple)):
        raise CheckpointError(f'{where}: classes in its dataset_meta must be a list of names')
    classes = [str(name) if type(name) is int else name for name in classes]
    if 'decode_head' in model or 'detection_head' in model:
        palette = [list(map(int, colour)) for colour in dataset_meta.get('palette') or ()]
        task = 'segmentation' if 'decode_head' in model else 'detection'
        others = [(name, step) for name, step in steps if not name.startswith(('Load', 'Pack'))]
        if [name for name, _ in others] not in ([], ['Resize']):
            raise CheckpointError(
                f'{where}: test_dataloader.dataset.pipeline has '
                f'{printable(", ".join(name for name, _ in others))[:100]}; a prediction loads a picture, resizes it '
                'once with Resize, and packs it, so leave out other steps'
            )
        step = _arguments(others[0][1]) if others else {}
        return checked(Description(task, model, classes, step, palette), where)
    if isinstance(model, dict) and model.get('type') == 'LanguageModel':
        return checked(Description('language', model, classes, {}, []), where)
    size = _size_of_class(dataset, kind)
    if size is None:
        resize = _resize_of_steps(steps)
    else:
        resize = {} if steps else dict(size=size)
    return checked(Description('classification', model, classes, resize, []), where)


def _size_of_class(dataset: Mapping, kind: Any) -> Any:
    """The side of the pictures of the data sets that make them one size; None for others."""
    from a2sg_zoo.datasets.classification import CIFAR, Digits, ImageFolder  # imports torchvision, a second
    from a2sg_zoo.datasets.mnist import MNIST

    # without a look-up, which would import the module that a file names
    found = DATASETS.module_dict.get(kind) if isinstance(kind, str) else None
    if not isinstance(found, type) or not issubclass(found, (CIFAR, Digits, ImageFolder, MNIST)):
        return None
    return 28 if issubclass(found, MNIST) else dataset.get('size', 32)


def _resize_of_steps(steps: Sequence[tuple[str, Mapping]]) -> dict[str, Any]:
    """How torchvision's transforms `Resize` and `CenterCrop` resize a picture; empty for any other pipeline."""
    if [name for name, _ in steps] not in (['Resize'], ['Resize', 'CenterCrop']):
        return {}
    given, cropped = _arguments(steps[0][1]), _arguments(steps[-1][1]) if len(steps) > 1 else {}
    size, crop = given.pop('size', None), cropped.pop('size', None)
    number = given.pop('interpolation', 2)
    if given or cropped or number not in INTERPOLATIONS:
        return {}
    crop = crop[0] if isinstance(crop, list) and len(crop) == 2 and crop[0] == crop[1] else crop
    if isinstance(size, list):
        if len(size) != 2 or size[0] != size[1] or crop not in (None, size[0]):
            return {}
        return dict(size=size[0]) if number == 2 else dict(size=size[0], interpolation=number)
    if None in (size, crop) or isinstance(crop, list):
        return {}
    return dict(shorter=size, crop=crop) if number == 3 else dict(shorter=size, crop=crop, interpolation=number)


def _arguments(step: Mapping) -> dict[str, Any]:
    """The arguments of a step, without those that have their default; a list of one size is that size."""
    found = {key: value for key, value in step.items() if key != 'type' and (key, value) not in _DEFAULTS}
    size = found.get('size')
    if isinstance(size, list) and len(size) == 1:
        found['size'] = size[0]
    return found


def _plain(node: Any) -> Any:
    """A config as JSON gives it back, without what is left out."""
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, value in node.items() if key not in LEFT_OUT}
    return [_plain(value) for value in node] if isinstance(node, (list, tuple)) else node
