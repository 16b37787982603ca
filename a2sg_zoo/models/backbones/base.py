"""The base class of all spiking backbones: time steps, outputs, and weights from other sources."""

import inspect
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.activation_checkpointing import checkpointed
from a2sg_zoo.models.layers.time_chunks import refuse_mixed_time, run_in_chunks
from a2sg_zoo.models.layers.transformer import TransformerBlock
from a2sg_zoo.neurons import set_time_steps
from a2sg_zoo.neurons.activation_memory import spikes_from_potentials
from a2sg_zoo.registry import NEURONS
from a2sg_zoo.utils.checks import integer, number

# arguments that may differ between the network of a file and this one
_FREE = (
    'T',
    'neuron',
    'out_indices',
    'time',
    'recompute',
    'time_chunk',
    'chunked_norms',
    'save_spikes',
    'drop_path',
    'tdbn',
    'init_cfg',
    'type',
)


class SpikingBackbone(nn.Module):
    """Base class of the spiking backbones.

    A backbone maps images (B, C, H, W) or event frames (T, B, C, H, W) to a tuple of feature maps. Inside, tensors are
    (T, B, C, H, W). A backbone for sequences maps (T, B, F) to a tuple of (T, B, C). A subclass makes its layers in the
    constructor, makes neurons with `self.neuron()`, and calls `self.tap(channels)` with the channels of its stages at
    the end. Its `forward_stages(x, T)` yields the output of each stage in order and applies blocks with `self.run`. It
    names its parameters freely and describes in `official_names` how the published code names them.

    Args:
        T: number of time steps.
        neuron: config of the neurons of all layers.
        out_indices: numbers of the stages to return, in ascending order; negative numbers count from the last stage.
        time: 'mean' returns outputs averaged over time, (B, C, H, W), for a neck or head without time;
            'keep' returns (T, B, C, H, W), for spiking ones.
        recompute: whether to use activation checkpointing: blocks keep only their input for the backward pass, which
            runs them a second time. It saves memory, takes about a third more time, and gives the same results. It
            cannot be combined with torch.compile.
        time_chunk: number of time steps that run at once, for long sequences; None for all. The backward pass keeps
            the states of the neurons between chunks, and runs each chunk a second time. Its memory is in proportion to
            T / C + C for C time steps a chunk: with C near sqrt(T) it grows as sqrt(T). Outputs, gradients and widths
            are those of all T time steps at once. Networks in which time steps meet elsewhere than in states are
            refused, see `a2sg_zoo.models.layers.time_chunks`. It takes the place of `recompute`, and cannot be combined
            with torch.compile.
        chunked_norms: whether batch norms in training may normalise over the time steps of a chunk. This is another
            function than over all T time steps, and running statistics are updated once a chunk; without it, such a
            network is refused.
        save_spikes: whether the backward pass keeps spikes beside membrane potentials, as autograd does. By default it
            computes spikes from potentials again, which saves about a third of a network's memory.
        drop_path: rate of stochastic depth at the last transformer block; it rises from 0 at the first one in equal
            steps. For networks of transformer blocks. The published spiking transformers define such a layer and never
            call it, so their recipes have a rate of 0.
        init_cfg: MMEngine's config of the initial weights. `dict(type='Pretrained', checkpoint=PATH)` takes a file of
            this project, a file of a whole network with this backbone, or an official checkpoint of the family; with
            `allow_missing=['stages.3.*']`, parameters of these names may be missing there and keep their initial
            weights.

    Attributes:
        out_channels: channels of each returned output.
        official_names: pairs (pattern, replacement) that `re.sub` applies in turn to an official parameter's name; a
            replacement of None drops the parameter.
        official_arguments: {argument: (its value in the published networks, its effect)}, for arguments that no
            parameter tells.
        arguments: arguments of the constructor, with defaults.

    Raises:
        ConfigError: an argument has a value that it cannot have.
    """

    official_names: ClassVar[list[tuple[str, str | None]]] = []
    official_arguments: ClassVar[dict[str, tuple[Any, str]]] = {}
    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> 'SpikingBackbone':
        """Note the arguments, which a check of pretrained weights compares with those of the file."""
        self = super().__new__(cls)
        object.__setattr__(self, 'arguments', _arguments(cls, args, kwargs))
        return self

    def __init__(
        self,
        T: int = 4,
        neuron: dict = dict(type='LIF', tau=2.0),
        out_indices: Sequence[int] = (-1,),
        time: str = 'mean',
        recompute: bool = False,
        time_chunk: int | None = None,
        chunked_norms: bool = False,
        save_spikes: bool = False,
        drop_path: float = 0.0,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__()
        self.init_cfg = deepcopy(init_cfg)
        self.is_init = False  # MMEngine asks whether the weights have their initial values
        self.T = integer('T', T, self)
        if time not in ('mean', 'keep'):
            raise ConfigError(f"{type(self).__name__}: time must be 'mean' or 'keep', got {time!r}")
        self.time, self.recompute, self.save_spikes = time, recompute, save_spikes
        self.time_chunk = None if time_chunk is None else integer('time_chunk', time_chunk, self)
        self.chunked_norms = chunked_norms
        if recompute and time_chunk is not None:
            raise ConfigError(f'{type(self).__name__}: time_chunk takes the place of recompute; set one of the two')
        self.drop_path = number('drop_path', drop_path, self, 0, 1, below_high=True)
        self._neuron = dict(neuron)
        self._out_indices = out_indices

    def neuron(self, **overrides: Any) -> nn.Module:
        """Make a new layer of this backbone's neurons.

        Args:
            **overrides: arguments of the neuron that differ from the backbone's config, such as `v_threshold`.
        """
        return NEURONS.build({**self._neuron, **overrides})

    def tap(self, stage_channels: Sequence[int]) -> None:
        """Choose the stages in `out_indices`, give the widths of all neurons one element a time step, and set the rates
        of stochastic depth.

        A subclass calls it once, at the end of its constructor.

        Args:
            stage_channels: channels of all stages.

        Raises:
            ConfigError: `out_indices` has a number that no stage has, or is not in ascending order; or `drop_path`
                finds no transformer block.
        """
        stages = len(stage_channels)
        for i in self._out_indices:
            if not -stages <= i < stages:
                raise ConfigError(f'{type(self).__name__}: out_indices has {i}, but the network has {stages} stages')
        self.out_indices = tuple(i % stages for i in self._out_indices)
        if any(a >= b for a, b in zip(self.out_indices, self.out_indices[1:])):
            raise ConfigError(
                f'{type(self).__name__}: out_indices = {tuple(self._out_indices)} must name stages in ascending order, '
                f'each once; the network has {stages} stages'
            )
        self.out_channels = [stage_channels[i] for i in self.out_indices]
        set_time_steps(self, self.T)
        blocks = [module for module in self.modules() if isinstance(module, TransformerBlock)]
        if self.drop_path and not blocks:
            raise ConfigError(
                f'{type(self).__name__}: drop_path is for networks with transformer blocks; this has none'
            )
        for i, block in enumerate(blocks):  # not by a tensor, which has no values on the device 'meta'
            block.drop_path = self.drop_path * i / max(len(blocks) - 1, 1)

    def run(self, blocks: nn.Module | Iterable[nn.Module], x: torch.Tensor) -> torch.Tensor:
        """Apply blocks one after the other, with activation checkpointing if `recompute`.

        Args:
            blocks: modules with one input and one output, such as those in an `nn.Sequential`.
            x: input of the first block.
        """
        for block in cast(Iterable[nn.Module], blocks):
            x = checkpointed(block, x) if self.recompute and torch.is_grad_enabled() else block(x)
        return x

    def forward_stages(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """Yield the output (T, B, C, H, W) of each stage.

        Args:
            x: images (B, C, H, W), frames (T, B, C, H, W) or sequences (T, B, F).
            T: number of time steps.
        """
        raise NotImplementedError

    def forward(self, x: torch.Tensor, T: int | None = None) -> tuple[torch.Tensor, ...]:
        """Run the network.

        Args:
            x: images (B, C, H, W), frames (T, B, C, H, W) or sequences (T, B, F).
            T: number of time steps; by default that of the constructor.

        Returns:
            the output of each stage in `out_indices`: (B, C, H, W), or (T, B, C, H, W) if `time` is 'keep'; without H
            and W for sequences.

        Raises:
            ConfigError: T is no integer of at least 1, there are more or fewer frames, or `time_chunk` is set and the
                network cannot run in chunks of time steps.
        """
        T = self.T if T is None else integer('T', T, self)
        repeated = x.dim() == 4  # an image is the same at all time steps
        if self.time_chunk is not None and self.time_chunk < T and (repeated or len(x) == T):
            refuse_mixed_time(self, self.chunked_norms)
            return run_in_chunks(
                self,
                lambda start, stop: self._tapped(x if repeated else x[start:stop], stop - start),
                T,
                self.time_chunk,
                mean=self.time == 'mean',
            )
        with nullcontext() if self.save_spikes or not torch.is_grad_enabled() else spikes_from_potentials():
            outputs = [y.mean(0) if self.time == 'mean' else y for y in self._tapped(x, T)]
        return tuple(outputs)

    def _tapped(self, x: torch.Tensor, T: int) -> Iterator[torch.Tensor]:
        """The outputs (T, B, ...) of the stages in `out_indices`."""
        return (y for i, y in enumerate(self.forward_stages(x, T)) if i in self.out_indices)

    @classmethod
    def from_official(cls, state_dict: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], list[str]]:
        """Convert a published state dict to this project's names and shapes.

        Args:
            state_dict: {official name: tensor}.

        Returns:
            (converted, dropped): the new state dict, and the official names without a counterpart in the backbone.
        """
        converted, dropped = {}, []
        for official, value in state_dict.items():
            name = cls.name_here(official)
            if name is None:
                dropped.append(official)
            else:
                converted[name] = cls.reshape_official(name, value)
        return converted, dropped

    @staticmethod
    def sizes_of(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
        """The arguments of the constructor that the shapes of a state dict tell.

        Args:
            weights: {name: tensor}, under the names of this package.

        Raises:
            LookupError: the weights are those of another family, or the family reads no sizes.
        """
        raise LookupError('this family reads no sizes from its weights')

    @classmethod
    def name_here(cls, name: str) -> str | None:
        """The name in this package of a parameter of the published network; None if it has no counterpart."""
        for pattern, replacement in cls.official_names:
            if replacement is not None:
                name = re.sub(pattern, replacement, name)
            elif re.search(pattern, name):
                return None
        return name

    @classmethod
    def reshape_official(cls, name: str, value: torch.Tensor) -> torch.Tensor:
        """Return a published parameter in the shape that it has here; `name` is its name here."""
        return value

    def init_weights(self) -> None:
        """Give the weights the values that `init_cfg` asks for; MMEngine calls this before a training run.

        Raises:
            ConfigError: `init_cfg` of type Pretrained has an unknown key.
            CheckpointError: see `load_pretrained`.
        """
        configs = [self.init_cfg] if isinstance(self.init_cfg, dict) else list(self.init_cfg or ())
        others = [config for config in configs if config['type'] != 'Pretrained']
        if others:
            from mmengine.model import initialize

            initialize(self, others)
        for config in configs:
            if config['type'] == 'Pretrained':
                asked = {key: value for key, value in config.items() if key != 'type'}
                unknown = asked.keys() - {'checkpoint', 'prefix', 'map_location', 'allow_missing'}
                if unknown or 'checkpoint' not in asked:
                    raise ConfigError(
                        f'init_cfg of {type(self).__name__}: type Pretrained takes checkpoint, prefix, map_location '
                        f'and allow_missing, got {", ".join(map(str, asked)) or "none of them"}'
                    )
                self.load_pretrained(asked.pop('checkpoint'), **asked)
        self.is_init = True

    def load_pretrained(
        self,
        path: str | Path,
        allow_missing: Sequence[str] = (),
        prefix: str | None = None,
        map_location: str | None = 'cpu',
    ) -> None:
        """Load this backbone's weights from a file.

        Args:
            path: a file of this project, a file of a whole network with this backbone, or an official checkpoint; or
                an http(s) address, 'zoo:NAME' or 'hf:OWNER/NAME' of one. A warning names arguments that no parameter
                tells, such as the number of heads, if they differ from those of the file's network.
            allow_missing: patterns of names that the file may lack, such as 'stages.3.*' for a stage that its network
                does not have.
            prefix: of the names in the file that belong to this backbone; by default 'backbone.' where a name has it.
            map_location: device to which the file is read; see `torch.load`.

        Raises:
            CheckpointError: a parameter is missing in the file, has another shape, or is one too many; or no name has
                the prefix.
        """
        from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of, weights_under
        from a2sg_zoo.hub.loaders import fetch
        from a2sg_zoo.hub.published import read_backbone

        if str(path).startswith(('http://', 'https://')):
            path, contents = fetch(str(path), map_location)
        else:
            contents = read_checkpoint(path, map_location)
        weights = weights_of(contents, path)
        told, official = read_backbone(contents, path)
        if prefix is None and any(name.startswith('backbone.') for name in weights):
            prefix = 'backbone.'
        if prefix is not None:
            weights = weights_under(prefix, weights, path)
            if prefix.rstrip('.') != 'backbone':  # of another network than the one that the file describes
                told = {}
        if not any(name in weights for name in self.state_dict()):
            weights, official = self.from_official(weights)[0], True
        # an official file has no widths of surrogates, and may lack the counters of batch norm
        load_into(self, weights, path, allow_missing=('*.beta', '*.num_batches_tracked', *allow_missing))
        if told and not official:
            told = {**_arguments(type(self), (), {}), **told}
        if allow_missing:  # this network may be larger than the file's
            with suppress(LookupError):
                sizes = self.sizes_of(weights)
                told = {key: value for key, value in told.items() if key not in sizes}
        self._compare_arguments(told, official, path)

    def _compare_arguments(self, told: dict[str, Any], official: bool, path: str | Path) -> None:
        from mmengine.logging import print_log

        published = {key: value for key, (value, _) in self.official_arguments.items()} if official else {}
        for key, value in {**told, **published}.items():
            own = self.arguments.get(key, value)
            if key in _FREE or _comparable(own) == _comparable(value):
                continue
            effect = f' ({self.official_arguments[key][1]})' if key in self.official_arguments else ''
            print_log(
                f'{path}: its network has {key}={value!r}{effect}, but this {type(self).__name__} has {key}={own!r}. '
                f'The weights fit, and the outputs differ. Set model.backbone.{key}={value!r} for the same network, or '
                'train on',
                'current',
                logging.WARNING,
            )


def _arguments(cls: type, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor, with defaults; none if it does not take them."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind_partial(None, *args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    found = dict(bound.arguments)
    found.pop('self', None)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= found.pop(name)
    return found


def _comparable(value: Any) -> Any:
    return list(map(_comparable, value)) if isinstance(value, (list, tuple)) else value
