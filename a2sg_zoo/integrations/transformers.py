"""A callback for the Trainer of Hugging Face's transformers (the extra `transformers`)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import extract_model_from_parallel
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from a2sg_zoo.adaptation import Layers, Policy, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.integrations.callbacks import loss_scale, require_no_prepare, without_scale

_FILE = 'surrogate_widths.pt'


class AdaptationCallback(TrainerCallback):
    """Trains the spiking neurons of a network under a policy.

    With gradient accumulation, the first batch of an optimiser step decides the widths. The widths lie beside each
    checkpoint of the Trainer, and a resumed training reads them. After the training, the network stays attached;
    `detach(model)` takes it from the policy.

    Args:
        policy: the policy. Policies with a method `prepare`, such as `Dspike`, are refused.
        T, fuse: see `attach`.
        observe_every: take statistics in every so many optimiser steps, into `policy.records`; 0 for never. After the
            step, SGV is that of the loss itself, without the factors of mixed precision and of gradient accumulation.
        resume_from_checkpoint: folder of the checkpoint that the training resumes from, if that lies outside the
            Trainer's `output_dir`.

    Attributes:
        layers: {qualified name: layer} of the network that the Trainer has.

    Raises:
        ConfigError: the policy has a method `prepare`; or, at the start of a training, see `on_train_begin`.

    >>> from a2sg_zoo import A2SG
    >>> AdaptationCallback(A2SG()).layers
    {}
    """

    def __init__(
        self,
        policy: Policy,
        T: int | None = None,
        fuse: bool = False,
        observe_every: int = 0,
        resume_from_checkpoint: str | Path | None = None,
    ) -> None:
        require_no_prepare(policy)
        self.policy, self.T, self.fuse, self.observe_every = policy, T, fuse, observe_every
        self.resume_from_checkpoint = resume_from_checkpoint
        self.layers, self._micro_batch = Layers(), 0

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Attaches the policy to the network, before the Trainer wraps it."""
        self.layers = attach(kwargs['model'], self.policy, self.T, self.fuse)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Reads the widths of the checkpoint that the training resumes from.

        A network that the Trainer did not have at its start (`model_init`, `add_callback`) is attached to here.

        Raises:
            ConfigError: the checkpoint has no file of widths, and the network has neurons of other libraries; or the
                network is attached to only here, and the training resumes, or `T` gives the network parameters.
        """
        network = extract_model_from_parallel(kwargs['model'], keep_torch_compile=False)
        before, parameters = self.layers, set(network.parameters())
        self.layers = attach(network, self.policy, self.T, self.fuse)
        if self.layers is not before and state.global_step:
            raise ConfigError(
                'AdaptationCallback: a training cannot resume if the network comes from model_init or the callback '
                'from add_callback, because the widths were read before; use Trainer(model, callbacks=[...])'
            )
        if parameters != set(network.parameters()):
            raise ConfigError(
                f'AdaptationCallback: T = {self.T} gives the network parameters, and the optimizer exists already; '
                'call a2sg_zoo.neurons.set_time_steps(model, T) in model_init'
            )
        if state.global_step and self.layers.state_dict():
            file = Path(self.resume_from_checkpoint or _folder(args, state), _FILE)
            if not file.exists():
                raise ConfigError(
                    f'AdaptationCallback: {file} is missing, so the widths of the checkpoint are not known. If the '
                    'training resumes from another folder, name it: AdaptationCallback(resume_from_checkpoint=...)'
                )
            self.layers.load_state_dict(torch.load(file, map_location='cpu', weights_only=True))

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

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Divides SGV by the factors of the loss."""
        if self.policy.observing:
            scale = loss_scale(kwargs['optimizer']) / (self._micro_batch + 1)
            records = self.policy.records
            self.policy.records = {layer: without_scale(record, scale) for layer, record in records.items()}

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Writes the widths of other libraries' neurons beside the checkpoint; those of ours are part of it."""
        if args.should_save:
            data = io.BytesIO()
            torch.save(self.layers.state_dict(), data)
            write_atomically(data.getvalue(), Path(_folder(args, state), _FILE))

    def _begin(self, args, state, micro_batch):
        self._micro_batch, step = micro_batch, state.global_step
        observe = self.observe_every > 0 and step % self.observe_every == 0
        self.policy.begin(step, micro_batch, observe, args.seed, progress=step / max(state.max_steps, 1))


def _folder(args, state):
    return Path(args.output_dir, f'{PREFIX_CHECKPOINT_DIR}-{state.global_step}')
