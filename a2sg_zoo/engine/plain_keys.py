"""The keys of those parts of a config that have no type: functions read them, not constructors."""

import inspect
from collections.abc import Mapping, Set
from difflib import get_close_matches
from typing import Any

from mmengine.dist import init_dist
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.utils.dl_utils import set_multi_processing
from torch import distributed, nn

from a2sg_zoo import registry
from a2sg_zoo.engine.parts import HOOKS
from a2sg_zoo.engine.signatures import find_class, keys_of, keys_read, parameters_of
from a2sg_zoo.engine.walk import leaves

# parts without a type, and the keys that they take
PLAIN = {
    'randomness': {'seed', 'diff_rank_seed', 'deterministic'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': parameters_of(set_multi_processing) - {'distributed'},
    'env_cfg.dist_cfg': parameters_of(init_dist, distributed.init_process_group) | {'port'} - {'launcher'},
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'custom_imports': {'imports', 'allow_failed_imports'},
    **{name: keys_of(HOOKS[name])[0] for name in ('adaptation', 'sharding')},
}
_WINDOW_KEYS = {'mode', 'crop_size', 'stride'}


def check_keys(node: Mapping, path: str, owner: str, accepted: Set[str], problems: list[str]) -> None:
    """Notes the keys of a part that nothing takes.

    Args:
        node: the part.
        path: its dotted key.
        owner: what takes its keys, for the message.
        accepted: the keys.
        problems: gets a line for each other key.
    """
    for name in node:
        if name not in accepted | {'type', '_scope_'}:
            near = get_close_matches(name, accepted, n=1)
            hint = f'did you mean {near[0]}?' if near else f'it takes {", ".join(sorted(accepted)) or "none"}'
            problems.append(f'{path}.{name}: {owner} takes no such key; {hint}')


def check_steps(wrapper: Any, problems: list[str]) -> None:
    """Checks the keys of `clip_grad` and `paramwise_cfg`.

    Args:
        wrapper: `optim_wrapper` of a config.
        problems: gets a line for each mistake.
    """
    clip, options = value_at(wrapper, 'clip_grad'), value_at(wrapper, 'paramwise_cfg')
    if isinstance(clip, dict):
        by_value = clip.get('type') == 'value'
        function = nn.utils.clip_grad_value_ if by_value else nn.utils.clip_grad_norm_
        accepted = parameters_of(function) - {'parameters'}
        check_keys(clip, 'optim_wrapper.clip_grad', function.__name__, accepted, problems)
    if not isinstance(options, dict) or 'constructor' in wrapper:
        return
    owner = DefaultOptimWrapperConstructor
    accepted = keys_read(owner.add_params, 'paramwise_cfg')
    check_keys(options, 'optim_wrapper.paramwise_cfg', owner.__name__, accepted, problems)
    kind = value_at(wrapper, 'optimizer', 'type')
    optimizer = find_class(kind, [registry.OPTIMIZERS]) if isinstance(kind, str) else None
    accepted = keys_of(optimizer)[0] if optimizer else None  # they can differ between the parts
    for name, each in (options.get('custom_keys') or {}).items() if accepted else ():
        if isinstance(each, dict):
            path = f'optim_wrapper.paramwise_cfg.custom_keys.{name}'
            multipliers = keys_read(owner.add_params, 'custom_keys[key]')
            check_keys(each, path, owner.__name__, multipliers | accepted - {'params'}, problems)


def check_prediction(model: Any, problems: list[str]) -> None:
    """Checks the keys of `test_cfg` of a segmentation: those of its window, and others that a head reads.

    Args:
        model: of a config.
        problems: gets a line for each mistake.
    """
    options, kind = value_at(model, 'test_cfg'), value_at(model, 'type')
    target = find_class(kind, [registry.MODELS]) if isinstance(kind, str) else None
    if not isinstance(options, dict) or options.keys() <= _WINDOW_KEYS or not hasattr(target, 'slide_inference'):
        return
    names = {value for path, value in leaves(model) if path.rpartition('.')[2] == 'type' and isinstance(value, str)}
    parts: list[Any] = [part for name in names if inspect.isclass(part := find_class(name, [registry.MODELS]))]
    if all(part.__module__.startswith(('a2sg_zoo.', 'mmseg.', 'mmcv.', 'mmengine.', 'torch.')) for part in parts):
        # a head reads it under other names
        accepted = _WINDOW_KEYS.union(*(keys_read(part, 'cfg') for part in parts))
        check_keys(options, 'model.test_cfg', kind, accepted, problems)


def value_at(node: Any, *path: str) -> Any:
    """What stands at a path of keys, None if nothing does."""
    for name in path:
        node = node.get(name) if hasattr(node, 'get') else None
    return node
