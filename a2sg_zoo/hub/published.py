"""Weight files that explain themselves: safetensors whose metadata say which network they are for."""

import ast
import json
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError
from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.registry import MODELS, NEURONS, SCOPE, SURROGATES

_KEY = 'a2sg_zoo'
# what a published network needs no more, and what would make its construction read other files
_LEFT_OUT = ('init_cfg', 'pretrained', 'mixing', '_scope_')
# what configs of this package name of MMSegmentation, MMEngine and PyTorch; constructors of others there take paths and
# addresses, and load from them what may run code
_FOREIGN = ('EncoderDecoder', 'FPN', 'FPNHead', 'CrossEntropyLoss', 'SegDataPreProcessor', 'ImgDataPreprocessor', 'BN')


@dataclass(frozen=True)
class Description:
    """What the metadata of a weight file say.

    Attributes:
        task: 'classification' or 'segmentation'.
        model: config of the network, with its `data_preprocessor`.
        classes: their names.
        resize: how a picture is resized before the network sees it. Of a segmentation: the arguments of mmcv's
            `Resize`; empty for not at all. Of a classification: dict(size=S), to S x S whatever its shape; or
            dict(shorter=A, crop=S), its shorter side to A, of which the middle S x S; empty where the network takes no
            pictures.
        palette: colours (red, green, blue) of the classes of a segmentation; empty for a classification.
    """

    task: str
    model: dict
    classes: list
    resize: dict
    palette: list


def build(config, where):
    """The network of a config from anywhere, with initial weights.

    Raises:
        CheckpointError: the config names something that is not allowed, or it cannot be built.
    """
    allowed = {*_FOREIGN, *(name for registry in (MODELS, NEURONS, SURROGATES) for name in registry.own_names())}
    for path, key, value in _items(config, 'model'):
        if key in _LEFT_OUT:
            raise CheckpointError(f'{where}: its config has {path}, which a published network must not have')
        if key == 'class_weight' and isinstance(value, str):  # the losses would unpickle what is there
            raise CheckpointError(
                f'{where}: its config has {path} = {value!r}, a file; nothing of it was read. Class '
                'weights must be a list of numbers'
            )
        # MMEngine imports whatever module an unregistered name names, and calls what is in it
        if key == 'type' and (not isinstance(value, str) or value not in allowed):
            raise CheckpointError(
                f'{where}: its config has {path} = {value!r}, which is not registered in '
                f'a2sg_zoo.registry, nor one of {", ".join(_FOREIGN)}; nothing of it was run. If '
                'it is a class of yours, register it there, and import its module first'
            )
    return construct(config, where)


def construct(config, where):
    """The network of a config that may run code, such as one from a config file; see `build` for any other.

    Raises:
        CheckpointError: it cannot be built.
    """
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            return MODELS.build(ConfigDict(deepcopy(config)))
    except A2SGError as error:
        raise CheckpointError(f'{where}: {error}') from error
    except Exception as error:  # of a constructor that was given anything by anyone
        raise CheckpointError(f'{where}: this version of a2sg_zoo cannot build its network: {error}') from error


def _items(node, path):
    """(path, key, value) of every dictionary in a config."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in children:
        below = f'{path}[{key}]' if isinstance(key, int) else f'{path}.{key}'
        if isinstance(node, dict):
            yield below, key, value
        yield from _items(value, below)


def describe(cfg, dataset_meta, where):
    """The description of a trained network.

    Args:
        cfg: the run's config, or a dictionary of its parts `model`, `data_preprocessor` and `test_dataloader`.
        dataset_meta: with `classes`, and for a segmentation `palette`.
        where: begins the messages.

    Raises:
        CheckpointError: the config or the classes are not there.
    """
    try:
        model = _plain(cfg['model'])
        classes = list(dataset_meta['classes'])
        dataset = cfg['test_dataloader']['dataset']
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f'{where}: it does not tell its network or its classes ({error}); '
            'checkpoints of tools/train.py and files of tools/publish.py do'
        ) from error
    if 'data_preprocessor' not in model and cfg.get('data_preprocessor'):
        model['data_preprocessor'] = _plain(cfg['data_preprocessor'])
    steps = {step['type'].rpartition('/')[2]: _plain(step) for step in dataset.get('pipeline', ())}
    step = steps.get('Resize', {})
    if 'decode_head' not in model:
        resize = {}
        if dataset['type'] in ('CIFAR', 'Digits', 'ImageFolder'):
            resize = dict(size=dataset.get('size', 32))
        elif step and 'CenterCrop' in steps:
            resize = dict(shorter=step['size'], crop=steps['CenterCrop']['size'])
        return Description('classification', model, classes, resize, [])
    step.pop('type', None)
    palette = [list(map(int, colour)) for colour in dataset_meta.get('palette') or ()]
    if len(palette) != len(classes):
        raise CheckpointError(f'{where}: it has {len(classes)} classes, but colours for {len(palette)}')
    return Description('segmentation', model, classes, step, palette)


def _plain(node):
    """A config as JSON gives it back, without what is left out."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key not in _LEFT_OUT}
    return [_plain(value) for value in node] if isinstance(node, (list, tuple)) else node


def read(path):
    """(weights, Description) of a published file, or of a checkpoint of `tools/train.py`. No code in it is run.

    Raises:
        CheckpointError: the file cannot be read, or does not say which network it is for.
    """
    contents = read_checkpoint(path)
    where = f'checkpoint {path}'
    weights = weights_of(contents, path)
    if Path(path).suffix == '.safetensors':
        return weights, _read_metadata(path, where)
    meta = contents.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    return weights, describe(_parse_config(meta.get('cfg')), meta.get('dataset_meta'), where)


def _read_metadata(path, where):
    with safetensors.safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(_KEY)
    try:
        found = json.loads(text or 'null')
        description = Description(**found)
    except (ValueError, TypeError) as error:
        raise CheckpointError(
            f'{where}: it does not tell which network it is for: its metadata have no {_KEY} with '
            f'{", ".join(field.name for field in fields(Description))}. Files of tools/publish.py '
            'do'
        ) from error
    for name, kind in (('task', str), ('model', dict), ('classes', list), ('resize', dict), ('palette', list)):
        if not isinstance(getattr(description, name), kind):
            raise CheckpointError(f'{where}: {_KEY}.{name} in its metadata is no {kind.__name__}')
    return description


def _parse_config(text):
    """The assignments of a config that MMEngine wrote into a checkpoint; parsed, not run. What is no plain data is
    left out."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, TypeError, RecursionError):
        return {}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = _value(node.value)
            except ValueError:
                continue
    return found


def _value(node):
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)


def load(path, device='cpu'):
    """(network in evaluation mode, Description) of a published file or a checkpoint of `tools/train.py`.

    Raises:
        CheckpointError: the file cannot be read, does not say which network it is for, or does not fit it.
        ConfigError: the device is not there.
    """
    weights, description = read(path)
    model = build(description.model, f'checkpoint {path}')
    load_into(model, weights, path)
    head = getattr(model, 'decode_head', None) or getattr(model, 'head', None)
    if getattr(head, 'num_classes', None) != len(description.classes):
        raise CheckpointError(
            f'checkpoint {path} names {len(description.classes)} classes, but the head of its '
            f'network has {getattr(head, "num_classes", "none")}'
        )
    return move(model, device).eval(), description


def move(model, device):
    """The network, moved to a device.

    Raises:
        ConfigError: the device is not there.
    """
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # PyTorch, of a device that is not there
        raise ConfigError(f'device {str(device)!r} cannot be used: {str(error).splitlines()[0]}') from error


def save(weights, description, path):
    """Writes a published file. Matrices and kernels are stored in half precision; vectors, such as the statistics of
    batch norm, and what half precision cannot hold, as they are. What a policy keeps with a neuron is left out."""
    weights = {
        name: _halved(x).contiguous().clone()
        for name, x in weights.items()
        if not name.rpartition('.')[2].startswith('policy_')
    }
    text = json.dumps(asdict(description), sort_keys=True)
    write_atomically(safetensors.torch.save(weights, {'format': 'pt', _KEY: text}), path)


def _halved(x):
    x = x.detach().cpu()
    if x.dim() < 2 or not x.is_floating_point():
        return x
    half = x.to(torch.float16)
    return half if half.isfinite().all() else x
