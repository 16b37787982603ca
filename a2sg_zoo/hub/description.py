"""What a weight file says about its network, and the bounds within which it is believed.

The text comes from a file that anybody may have made, so it stays data: it is parsed, not run, and it is checked before
anything is built from it.
"""

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a2sg_zoo.errors import CheckpointError, printable

# bounds of any config
_DEEPEST = 32
_MOST_ITEMS = 100_000
_LONGEST_TEXT = 2_000
_LONGEST_CONFIG = 2_000_000
# bounds of the integers under a key, alone or summed over a list; of any other key
MOST_TIME_STEPS = 4_096
_LARGEST = {
    'T': MOST_TIME_STEPS,
    'depth': 1_000,
    'depths': 1_000,
    'num_layers': 1_000,
    'num_convs': 1_000,
    'num_outs': 1_000,
    'levels': 1_000,
    'mlp_ratio': 1_000,
    'size_divisor': 1_000,
    'feature_strides': 1_000,
    'dilations': 1_000,
    'dilation': 1_000,
    'pool_scales': 100,
    'num_queries': 1_000,
    'k': 1_000,
}
_LARGEST_OTHER = 1_000_000
# sides of a picture, and time steps x height x width of what a network is given
_LONGEST_SIDE = 8_192
_SIDES = ('size', 'max_size', 'shorter', 'crop', 'scale', 'crop_size', 'img_size')
_MOST_VALUES = 1 << 26
# sliding windows along a side that cover a pixel
_MOST_OVERLAP = 8
MOST_CLASSES = 65_536
_LONGEST_NAME = 200

# how torchvision interpolates tensors, by the numbers of PIL: nearest, bilinear (its own choice), bicubic
INTERPOLATIONS = (0, 2, 3)
_RESIZE_KEYS = {
    # beside `interpolation`
    'classification': ({'size'}, {'shorter', 'crop'}),
    'detection': ({'size', 'max_size'}, {'size'}),
    'language': (),
    'segmentation': ({'scale', 'scale_factor', 'keep_ratio', 'clip_object_border', 'backend', 'interpolation'},),
}


@dataclass(frozen=True)
class Description:
    """What a weight file says about its network.

    Attributes:
        task: 'classification', 'segmentation', 'detection' or 'language'.
        model: config of the network, with its `data_preprocessor`.
        classes: their names; of a language model, the names of the symbols.
        resize: how a picture is resized before the network sees it. For segmentation: the arguments of mmcv's
            `Resize`; empty if it is not resized. For classification: dict(size=S), to S x S whatever its shape; or
            dict(shorter=A, crop=S), its shorter side to A, of which the middle S x S is taken; empty if the network
            takes no pictures, or its test prepares them in another way. For detection: dict(size=A, max_size=B), the
            shorter side to A, but the longer one to at most B; empty if it is not resized. Empty for a language model.
            For classification and detection, `interpolation` is one of PIL's numbers 0, 2 and 3 (nearest, bilinear,
            bicubic). Without it, pictures are resized bicubically for dict(shorter=A, crop=S), and bilinearly for
            others.
        palette: colours [red, green, blue] of the classes of a segmentation or detection; empty for other tasks.
    """

    task: str
    model: dict
    classes: list[str]
    resize: dict
    palette: list[list[int]]


def checked(description: Description, where: str) -> Description:
    """The description with class names that are safe to print, if it is within all bounds.

    Args:
        description: as it stands in a file.
        where: begins the messages, such as 'checkpoint x.pth'.

    Raises:
        CheckpointError: a field has another type than it must have, or asks for more than any network of this package
            needs; the message names the key.
    """
    for name, kind in (('task', str), ('model', dict), ('classes', list), ('resize', dict), ('palette', list)):
        if not isinstance(getattr(description, name), kind):
            raise CheckpointError(f'{where}: {name} in its description must be a {kind.__name__}')
        require_bounded(getattr(description, name), where, name)
    if description.task not in _RESIZE_KEYS:
        raise CheckpointError(
            f'{where}: task in its description must be one of {", ".join(_RESIZE_KEYS)}, not '
            f'{printable(description.task)!r:.40}'
        )
    _require_resize(description, where)
    classes = _class_names(description.classes, where)
    _require_palette(description, where)
    return Description(description.task, description.model, classes, description.resize, description.palette)


def require_bounded(config: Any, where: str, name: str = 'model') -> None:
    """Checks a config from anywhere before anything is built from it.

    It must be plain data (dictionaries with text as keys, lists, text, finite numbers, booleans, None) of a reasonable
    size, and must not ask for more time steps, layers, channels or pixels than any network of this package needs.

    Args:
        config: dictionary to check.
        where: begins the messages.
        name: of the config, which begins the keys in the messages.

    Raises:
        CheckpointError: see above; the message names the key.
    """
    for path, key, value in _items(config, where, name):
        if key is not None and not isinstance(key, str):
            raise CheckpointError(
                f'{where}: its config has a key {printable(repr(key))[:40]} in {path}, which is no text'
            )
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise CheckpointError(f'{where}: its config has a text of {len(value):,} characters as {path}')
        if isinstance(value, float) and not math.isfinite(value):
            raise CheckpointError(f'{where}: its config has {path} = {value}, which is not finite')
        if value is not None and not isinstance(value, (bool, int, float, str, Mapping, list, tuple)):
            raise CheckpointError(f'{where}: its config has a {type(value).__name__} as {path}, which is no plain data')
        _require_small(path, key, value, where)
        if key == 'test_cfg' and isinstance(value, Mapping) and value.get('mode') == 'slide':
            _require_fast_sliding(path, value, where)


def _items(config: Any, where: str, name: str) -> Iterator[tuple[str, Any, Any]]:
    """(path, key, value) of every entry of a config, the config itself first; `key` of a list's entry is None."""
    waiting, seen = [(name, None, config, 0)], 0
    while waiting:
        path, key, value, depth = waiting.pop()
        seen += len(value) if isinstance(value, (Mapping, list, tuple)) else 0
        if depth > _DEEPEST or seen > _MOST_ITEMS:
            raise CheckpointError(
                f'{where}: its config is nested deeper than {_DEEPEST} levels, or has more than {_MOST_ITEMS:,} '
                f'entries, at {path[:200]}'
            )
        yield path, key, value
        if isinstance(value, Mapping):
            waiting += [(f'{path}.{printable(k)[:60]}', k, x, depth + 1) for k, x in value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [(f'{path}[{i}]', None, x, depth + 1) for i, x in enumerate(value)]


def _require_small(path: str, key: Any, value: Any, where: str) -> None:
    numbers = [x for x in _flat(value) if isinstance(x, (int, float))]
    most = _LONGEST_SIDE if key in _SIDES else _LARGEST.get(key, _LARGEST_OTHER)
    too_large = any(abs(x) > most for x in numbers)
    if too_large or key in _LARGEST and sum(map(abs, numbers)) > most:
        raise CheckpointError(f'{where}: its config has a larger {path} than the {most:,} that are accepted')


def _flat(value: Any) -> list[Any]:
    """The numbers of a number, of a list, and of lists in lists; not all of those in a list that is endless."""
    found, waiting = [], [value]
    for _ in range(_MOST_ITEMS):
        if not waiting or len(waiting) > _MOST_ITEMS:
            break
        node = waiting.pop()
        if isinstance(node, (list, tuple)):
            waiting += reversed(node)
        else:
            found.append(node)
    return found


def _require_fast_sliding(path: str, config: Mapping, where: str) -> None:
    crop, stride = (_flat(config.get(key)) for key in ('crop_size', 'stride'))
    pairs = zip(crop * (2 if len(crop) == 1 else 1), stride * (2 if len(stride) == 1 else 1))
    if not all(isinstance(c, int) and isinstance(s, int) and 0 < c <= s * _MOST_OVERLAP for c, s in pairs):
        raise CheckpointError(
            f'{where}: its config has {path} = {str(dict(config)):.100}; crop_size and stride must be positive, and '
            f'crop_size at most {_MOST_OVERLAP} times stride'
        )


def _require_resize(description: Description, where: str) -> None:
    resize = description.resize
    allowed = _RESIZE_KEYS[description.task]
    if description.task != 'segmentation':
        given = {key: value for key, value in resize.items() if key != 'interpolation'}
        known = not resize or any(set(given) == keys for keys in allowed)
        number = resize.get('interpolation', 2)
        known = known and type(number) is int and number in INTERPOLATIONS
        sides = list(given.values())
    else:
        known = set(resize) <= allowed[0]
        sides = _flat(resize.get('scale', []))
        factors = _flat(resize.get('scale_factor', 1) or 1)
        known = known and all(isinstance(x, (int, float)) and 0 < x <= 16 for x in factors)
    sound = known and all(type(x) is int and x > 0 for x in sides if x is not None)
    if sound and description.task == 'detection' and resize.get('max_size') is not None:
        sound = resize['max_size'] > (resize['size'] or 0)  # as torchvision wants it
    if not sound:
        raise CheckpointError(
            f'{where}: resize = {printable(resize)[:100]} in its description is no known way to resize a picture'
        )
    backbone = description.model.get('backbone')
    steps = backbone.get('T', 1) if isinstance(backbone, Mapping) else 1
    sides = [x for x in sides if x is not None] or [1]
    values = (steps if type(steps) is int else 1) * max(sides) * (sides[-1] if len(sides) > 1 else sides[0])
    if values > _MOST_VALUES:
        raise CheckpointError(
            f'{where}: resize = {resize} with T = {steps} asks for {values:,} values a picture; at most '
            f'{_MOST_VALUES:,} are accepted'
        )


def _class_names(classes: Sequence, where: str) -> list[str]:
    if not 0 < len(classes) <= MOST_CLASSES:
        raise CheckpointError(f'{where}: classes has {len(classes):,} names; 1 to {MOST_CLASSES:,} are accepted')
    for i, name in enumerate(classes):
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
            raise CheckpointError(
                f'{where}: classes[{i}] = {printable(name)[:60]!r} must be a text of 1 to {_LONGEST_NAME} characters'
            )
    return [printable(name) for name in classes]


def _require_palette(description: Description, where: str) -> None:
    palette = description.palette
    if description.task in ('segmentation', 'detection') and len(palette) != len(description.classes):
        raise CheckpointError(
            f'{where}: palette has {len(palette)} colours, and classes has {len(description.classes)} names'
        )
    for i, colour in enumerate(palette):
        if not (isinstance(colour, list) and len(colour) == 3 and all(type(x) is int and 0 <= x < 256 for x in colour)):
            raise CheckpointError(
                f'{where}: palette[{i}] = {printable(repr(colour))[:60]} must be [red, green, blue], each 0 to 255'
            )


def parse_config(text: Any) -> dict[str, Any]:
    """The assignments of a config that MMEngine wrote into a checkpoint; parsed, not run.

    Args:
        text: of the config.

    Returns:
        {name: plain data}. Assignments of anything else are left out, and text that is no config gives {}.
    """
    if not isinstance(text, str) or len(text) > _LONGEST_CONFIG:
        return {}
    found = {}
    try:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                try:
                    found[node.targets[0].id] = _value(node.value)
                except (ValueError, TypeError):
                    continue
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the parser runs out of its own stack
        return {}
    return found


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict' and not node.args:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)


def network_named_in(meta: Any) -> str | None:
    """The network that MMEngine's `meta` names, in words, or None."""
    model = parse_config(meta.get('cfg') if isinstance(meta, Mapping) else None).get('model')
    if not isinstance(model, dict):
        return None
    types = [f'a network of type {model["type"]}'] if isinstance(model.get('type'), str) else []
    for part in ('backbone', 'neck', 'decode_head', 'detection_head'):
        if isinstance(model.get(part), dict) and isinstance(model[part].get('type'), str):
            types.append(f'{part} {model[part]["type"]}')
    return printable(', '.join(types))[:300] or None
