"""Reading sizes from the names of weights, for the `sizes_of` of the backbones."""

from collections.abc import Iterable


def count(weights: Iterable[str], prefix: str) -> int:
    """Return the number of modules in the list of modules called `prefix`.

    Args:
        weights: names of weights, such as the keys of a state dict.
        prefix: name of a `torch.nn.ModuleList` or `torch.nn.Sequential`.

    Example:
        >>> from a2sg_zoo.models.backbones.sizes import count
        >>> count(['blocks.0.weight', 'blocks.0.bias', 'blocks.1.weight', 'head.weight'], 'blocks')
        2
    """
    return len({name[len(prefix) + 1 :].partition('.')[0] for name in weights if name.startswith(f'{prefix}.')})
