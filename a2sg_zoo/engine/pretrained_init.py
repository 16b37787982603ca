"""`init_cfg=dict(type='Pretrained', checkpoint=...)` that loads everything, or says why not."""

from collections.abc import Sequence
from typing import Any

from mmengine.model import PretrainedInit
from torch import nn

from a2sg_zoo.errors import CheckpointError
from a2sg_zoo.hub.checkpoint import require_match, weights_of, weights_under
from a2sg_zoo.hub.loaders import fetch, read_ahead
from a2sg_zoo.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module(name='Pretrained')
class StrictPretrainedInit(PretrainedInit):
    """Initialises a network, or a part of it such as its backbone, with the weights of a checkpoint.

    MMEngine's own loads the tensors that happen to fit, and is content with none. Here the weights must fit the whole
    part, as those of `load_from` must fit the whole network.

    Args:
        checkpoint: file, http(s) address, or 'zoo:NAME'.
        prefix: of the names in the checkpoint that belong to this part, such as 'backbone.'.
        map_location: device of the tensors; see `torch.load`.
        allow_missing: patterns of names, such as 'stages.3.*', that the checkpoint may lack; these parameters keep
            their initial weights.
    """

    checkpoint: str

    def __init__(
        self,
        checkpoint: str,
        prefix: str | None = None,
        map_location: str | None = None,
        allow_missing: Sequence[str] = (),
    ) -> None:
        super().__init__(checkpoint, prefix, map_location)
        self.allow_missing = tuple(allow_missing)

    def __call__(self, module: nn.Module) -> None:
        """Loads the weights into a module.

        Args:
            module: the network, or a part of it.

        Raises:
            CheckpointError: the weights do not fit.
        """
        if self.checkpoint.startswith(('http://', 'https://')):
            self.checkpoint = str(fetch(self.checkpoint)[0])  # the log would show a token in the address
        with read_ahead(self.checkpoint) as contents:
            self._check(module, contents)
            super().__call__(module)

    def _check(self, module: nn.Module, contents: Any) -> None:
        weights = weights_of(contents, self.checkpoint)
        if self.prefix is not None:
            weights = weights_under(self.prefix, weights, self.checkpoint)
        try:
            meta = contents.get('meta') if isinstance(contents, dict) else None
            require_match(module, weights, self.checkpoint, meta, allow_missing=self.allow_missing)
        except CheckpointError as error:
            hint = _prefix_that_fits(module, weights) if self.prefix is None else None
            raise CheckpointError(f'init_cfg of {type(module).__name__}: {error}' + (hint or '')) from error


def _prefix_that_fits(module: nn.Module, weights: dict) -> str | None:
    """A hint, where the checkpoint is of a network that has this part."""
    own = {name for name in module.state_dict() if not name.rpartition('.')[2].startswith('policy_')}
    for prefix in sorted({name.partition('.')[0] + '.' for name in weights}):
        if own and own == {name.removeprefix(prefix) for name in weights if name.startswith(prefix)}:
            return f". It holds a network with this part: set init_cfg.prefix='{prefix}'"
    return None
