"""A callback for the Trainer of Hugging Face's transformers (the extra `transformers`)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from a2sg_zoo.adaptation import Layers, Policy, attach
from a2sg_zoo.hub.files import write_atomically

_FILE = 'surrogate_widths.pt'


class AdaptationCallback(TrainerCallback):
    """Trains the spiking neurons of a network under a policy.

    With gradient accumulation, the first batch of an optimiser step decides the widths. The widths lie beside each
    checkpoint of the Trainer, and a resumed training reads them. After the training, the network stays attached;
    `detach(model)` takes it from the policy.

    Args:
        policy: the policy.
        T, fuse: see `attach`.
        observe_every: take statistics in every so many optimiser steps, into `policy.records`; 0 for never.

    Attributes:
        layers: {qualified name: layer}, from the Trainer's start on.

    >>> from a2sg_zoo import A2SG
    >>> AdaptationCallback(A2SG()).layers
    {}
    """

    def __init__(self, policy: Policy, T: int | None = None, fuse: bool = False, observe_every: int = 0) -> None:
        self.policy, self.T, self.fuse, self.observe_every = policy, T, fuse, observe_every
        self.layers, self._micro_batch = Layers(), 0

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Attaches the policy to the network, before the Trainer wraps it."""
        self.layers = attach(kwargs['model'], self.policy, self.T, self.fuse)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Reads the widths of the checkpoint that the training resumes from."""
        file = _file(args, state)
        if state.global_step and file.exists():
            self.layers.load_state_dict(torch.load(file, weights_only=True))

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begins a step of the policy."""
        self._begin(args, state, 0)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begins the next batch of the same step."""
        self._begin(args, state, self._micro_batch + 1)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Writes the widths of other libraries' neurons beside the checkpoint; those of ours are part of it."""
        if state.is_world_process_zero:
            data = io.BytesIO()
            torch.save(self.layers.state_dict(), data)
            write_atomically(data.getvalue(), _file(args, state))

    def _begin(self, args, state, micro_batch):
        self._micro_batch, step = micro_batch, state.global_step
        observe = self.observe_every > 0 and step % self.observe_every == 0
        self.policy.begin(step, micro_batch, observe, args.seed, progress=step / max(state.max_steps, 1))


def _file(args, state):
    return Path(args.output_dir, f'{PREFIX_CHECKPOINT_DIR}-{state.global_step}', _FILE)
