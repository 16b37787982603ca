"""The schedules of a run, as they are built."""

from collections.abc import Mapping
from typing import Any

from mmengine.runner import Runner


def schedules_of(cfg: Mapping[str, Any]) -> Any:
    """The schedules of a run, each with an end: a schedule without one ends with the training.

    Args:
        cfg: a config; `param_scheduler` is a schedule, a list of them, or a dictionary of lists.

    Example:
        >>> cfg = dict(param_scheduler=dict(type='PolyLR', by_epoch=False), train_cfg=dict(max_iters=100))
        >>> schedules_of(cfg)['end']
        100
    """
    training = cfg.get('train_cfg') or {}

    def ended(node):
        if isinstance(node, (list, tuple)):
            return [ended(item) for item in node]
        if not isinstance(node, dict):
            return node
        if 'type' not in node:
            return {key: ended(value) for key, value in node.items()}
        end = training.get('max_epochs' if node.get('by_epoch', True) else 'max_iters')
        if end is None or 'end' in node:
            return node
        # a run that is cut short ends before this schedule begins
        return {**node, 'end': max(end, node.get('begin', 0) + 2)}

    return ended(cfg.get('param_scheduler'))


def progress(runner: Runner) -> float:
    """The share of a training that is done, from 0 to 1. A resumed run counts to the end that it began with.

    Args:
        runner: of the training; `ResumeHook` sets its `first_end`.
    """
    return min(1.0, runner.iter / getattr(runner, 'first_end', runner.max_iters))
