"""The hook that keeps parts of a network as they are."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import HOOKS


@HOOKS.register_module()
class FrozenHook(Hook):
    """Freezes parts of a network: `frozen = ['backbone']` in a config.

    Frozen parameters have no gradient, so no optimizer, schedule or weight decay moves them. Frozen batch norms
    normalise with their stored statistics and do not update them. Neurons of a frozen part that are above a trained
    one still pass the gradient on, under the policy of the run.

    Args:
        modules: regular expressions for the names of modules, such as 'backbone' or r'backbone\\.stages\\.[01]'. All
            that is within these modules is frozen.
    """

    # before the policy, which may measure the network that the iteration trains
    priority = 'HIGH'

    def __init__(self, modules: str | Sequence[str]) -> None:
        self.patterns = [modules] if isinstance(modules, str) else list(modules)
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise ConfigError(f'{pattern!r} is not a regular expression: {error}') from error

    def freeze(self, model: nn.Module) -> None:
        """Take the gradient from the parameters of the frozen parts.

        Args:
            model: the network, not yet wrapped for several processes.

        Raises:
            ConfigError: no module has such a name, or nothing is left to train.
        """
        for module in self._modules(model):
            module.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ConfigError(f'frozen = {self.patterns}: nothing is left to train')

    def before_train(self, runner: Runner) -> None:
        """Find the norms whose statistics are kept."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        frozen = (m for module in self._modules(model) for m in module.modules())
        self._norms = [m for m in dict.fromkeys(frozen) if hasattr(m, 'track_running_stats')]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Put the frozen norms into evaluation mode, which every training loop takes them out of."""
        for norm in self._norms:
            norm.eval()

    def _modules(self, model: nn.Module) -> Iterator[nn.Module]:
        named = dict(model.named_modules())
        for pattern in self.patterns:
            found = [module for name, module in named.items() if name and re.fullmatch(pattern, name)]
            if not found:
                near = get_close_matches(pattern, named, n=3)
                hint = f'; did you mean {" or ".join(near)}?' if near else ''
                raise ConfigError(f'frozen: no module of the network is named {pattern!r}{hint}')
            yield from found
