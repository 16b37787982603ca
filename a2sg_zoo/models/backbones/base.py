"""What every spiking backbone has in common: time, outputs, and weights from elsewhere."""

import re
from contextlib import nullcontext
from copy import deepcopy

import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.models.layers.folded import check_time_steps
from a2sg_zoo.models.layers.recompute import recomputed
from a2sg_zoo.neurons.saved import spikes_from_potentials
from a2sg_zoo.registry import NEURONS


class SpikingBackbone(nn.Module):
    """Base of the backbones.

    A subclass defines `stages_out` in its constructor (channels of every stage that can be tapped) and
    `forward_stages(x)`, which yields the output (T, B, C, H, W) of each of them in order and applies its blocks by
    `run`. It names its parameters as it likes, and says in `official_names` what the published code calls them.

    Args:
        T: number of time steps.
        neuron: config of the neuron that all layers use.
        out_indices: stages whose outputs are returned.
        time: 'mean' returns each output averaged over time, (B, C, H, W), which is what a plain neck or head takes;
            'keep' returns (T, B, C, H, W), for spiking ones.
        recompute: whether blocks keep nothing but their inputs for the backward pass and run a second time in it
            (activation checkpointing): less memory, a third more time, the same results. Not under torch.compile.
        save_spikes: whether spikes are kept for the backward pass as autograd would, beside the membrane potentials;
            otherwise they are made from these again, which saves a third of a network's memory.
        init_cfg: MMEngine's. For `dict(type='Pretrained', checkpoint=PATH)` the file may be one of this project, one
            of a whole network that has this backbone, or an official checkpoint of the family.

    Attributes:
        out_channels: channels of each returned output.
        official_names: [(pattern, replacement)] applied in turn to an official parameter name (`re.sub`); a
            replacement of None drops the parameter.
    """

    official_names = []

    def __init__(
        self,
        T=4,
        neuron=dict(type='LIF', tau=2.0),
        out_indices=(-1,),
        time='mean',
        recompute=False,
        save_spikes=False,
        init_cfg=None,
    ):
        super().__init__()
        self.init_cfg = deepcopy(init_cfg)
        self.is_init = False  # MMEngine asks whether the weights have their initial values
        self.T = check_time_steps(T, self)
        if time not in ('mean', 'keep'):
            raise ConfigError(f"{type(self).__name__}: time must be 'mean' or 'keep', got {time!r}")
        self.time, self.recompute, self.save_spikes = time, recompute, save_spikes
        self._neuron = dict(neuron)
        self._out_indices = out_indices

    def neuron(self, **overrides):
        """A new layer of this backbone's neurons."""
        return NEURONS.build({**self._neuron, **overrides})

    def tap(self, stage_channels):
        """To be called by the subclass: resolves `out_indices` against the channels of its stages."""
        stages = len(stage_channels)
        for i in self._out_indices:
            if not -stages <= i < stages:
                raise ConfigError(f'{type(self).__name__}: out_indices has {i}, but there are {stages} stages')
        self.out_indices = tuple(i % stages for i in self._out_indices)
        self.out_channels = [stage_channels[i] for i in self.out_indices]

    def run(self, blocks, x):
        """Applies blocks (modules of one input) one after the other, under activation checkpointing if `recompute`."""
        for block in blocks:
            x = recomputed(block, x) if self.recompute and torch.is_grad_enabled() else block(x)
        return x

    def forward_stages(self, x):
        raise NotImplementedError

    def forward(self, x):
        """x: images (B, C, H, W) or frames (T, B, C, H, W). Returns a tuple, one output a tapped stage."""
        outputs = []
        with nullcontext() if self.save_spikes or not torch.is_grad_enabled() else spikes_from_potentials():
            for i, y in enumerate(self.forward_stages(x)):
                if i in self.out_indices:
                    outputs.append(y.mean(0) if self.time == 'mean' else y)
        return tuple(outputs)

    @classmethod
    def from_official(cls, state_dict):
        """A published state dict under this project's names.

        Returns:
            (converted, dropped): the new state dict, and the official names without a counterpart in the backbone.
        """
        converted, dropped = {}, []
        for official, value in state_dict.items():
            name = official
            for pattern, replacement in cls.official_names:
                if replacement is None:
                    if re.search(pattern, name):
                        name = None
                        break
                else:
                    name = re.sub(pattern, replacement, name)
            if name is None:
                dropped.append(official)
            else:
                converted[name] = cls.reshape_official(name, value)
        return converted, dropped

    @classmethod
    def reshape_official(cls, name, value):
        """A published parameter in the shape that it has here; `name` is its name here."""
        return value

    def init_weights(self):
        """Give the weights the values that `init_cfg` asks for; MMEngine calls this before a training run."""
        configs = self.init_cfg if isinstance(self.init_cfg, (list, tuple)) else [self.init_cfg] * bool(self.init_cfg)
        others = [config for config in configs if config['type'] != 'Pretrained']
        if others:
            from mmengine.model import initialize

            initialize(self, others)
        for config in configs:
            if config['type'] == 'Pretrained':
                self.load_pretrained(config['checkpoint'])
        self.is_init = True

    def load_pretrained(self, path):
        """Loads this backbone's weights from a file: ours, a whole network's, or an official one. Strict."""
        from a2sg_zoo.hub.checkpoint import load_into, read_checkpoint, weights_of

        weights = weights_of(read_checkpoint(path), path)
        if any(name.startswith('backbone.') for name in weights):
            weights = {name.removeprefix('backbone.'): x for name, x in weights.items() if name.startswith('backbone.')}
        if not any(name in weights for name in self.state_dict()):
            weights = self.from_official(weights)[0]
        # an official file has no windows of surrogates, and need not have counters of batch norm
        load_into(self, weights, path, allow_missing=('*.beta', '*.num_batches_tracked'))
