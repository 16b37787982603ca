"""Reading sizes off the names of weights, for the `sizes_of` of the families."""


def count(weights, prefix):
    """How many members the list of modules `prefix` has among `weights`, {name: tensor}."""
    return len({name[len(prefix) + 1 :].partition('.')[0] for name in weights if name.startswith(f'{prefix}.')})
