"""The names of the scores that an evaluation gives, known before it runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from a2sg_zoo.registry import METRICS


def score_names(evaluator: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> list[str] | None:
    """Return the names of the scores that an evaluator gives, in their order.

    A metric class says its names by a class method `score_names`. It takes the metric's arguments and returns a list of
    names, in which * stands for any text.

    Args:
        evaluator: `val_evaluator` or `test_evaluator` of a config: the config of a metric, or a list of them.

    Returns:
        The names, with the prefix of their metric; None if a metric does not say them.

    >>> import a2sg_zoo.engine.metrics
    >>> score_names(dict(type='Accuracy'))
    ['top1', 'top5', 'top1_t*']
    """
    names: list[str] = []
    for config in [evaluator] if isinstance(evaluator, Mapping) else evaluator or ():
        arguments = dict(config) if isinstance(config, Mapping) else {}
        metric, prefix = METRICS.get(str(arguments.pop('type', None))), arguments.pop('prefix', None)
        if not hasattr(metric, 'score_names'):
            return None
        names += [f'{prefix}/{name}' if prefix else name for name in metric.score_names(**arguments)]
    return names or None
