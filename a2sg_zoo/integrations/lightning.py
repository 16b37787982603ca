"""A callback for PyTorch Lightning (the extra `lightning`)."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from a2sg_zoo.adaptation import Layers, Policy, attach
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.integrations.callbacks import loss_scale, require_no_prepare, without_scale


class AdaptationCallback(Callback):
    """Trains the spiking neurons of a `LightningModule` under a policy.

    With gradient accumulation, the first batch of an optimiser step decides the widths. Checkpoints hold the widths.
    After the training, the network stays attached; `detach(module)` takes it from the policy.

    Args:
        policy: the policy. Policies with a method `prepare`, such as `Dspike`, are refused.
        T, fuse: see `attach`.
        seed: of the run, see `Policy.begin`.
        observe_every: take statistics in every so many optimiser steps, and log them; 0 for never. SGV is that of the
            loss itself, without the factors of mixed precision and of gradient accumulation.

    Attributes:
        layers: {qualified name: layer}, from the start of the training on.

    Raises:
        ConfigError: the policy has a method `prepare`; in the first step, if the policy needs the progress of the
            training and the Trainer does not know its number of steps.

    >>> from a2sg_zoo import A2SG
    >>> AdaptationCallback(A2SG()).layers
    {}
    """

    def __init__(
        self, policy: Policy, T: int | None = None, fuse: bool = False, seed: int = 0, observe_every: int = 0
    ) -> None:
        require_no_prepare(policy)
        self.policy, self.T, self.fuse, self.seed, self.observe_every = policy, T, fuse, seed, observe_every
        self.layers = Layers()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Attaches the policy to the network."""
        if stage == 'fit':
            self.layers = attach(pl_module, self.policy, self.T, self.fuse)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begins a step of the policy."""
        step = trainer.global_step
        self.policy.begin(
            step,
            micro_batch=batch_idx % trainer.accumulate_grad_batches,
            observe=self.observe_every > 0 and step % self.observe_every == 0,
            seed=self.seed,
            progress=self._progress(trainer),
        )
        if self.policy.observing:
            # read now, because the step may change it
            self._scale = loss_scale(trainer.precision_plugin) / trainer.accumulate_grad_batches

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs the means of the statistics as `LAYER/STATISTIC`."""
        for layer, record in self.policy.records.items() if self.policy.observing else ():
            name, record = self.policy.layers[layer], without_scale(record, self._scale)
            pl_module.log_dict({f'{name}/{key}': x.mean() for key, x in record.items()})

    def state_dict(self) -> dict[str, Any]:
        """The widths of other libraries' neurons; those of ours are part of the network."""
        return self.layers.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the widths of a checkpoint, if a training begins: no spike depends on them."""
        if self.layers:
            self.layers.load_state_dict(state_dict)

    def _progress(self, trainer):
        steps = trainer.estimated_stepping_batches
        if 0 < steps < math.inf:
            return min(trainer.global_step / steps, 1.0)
        if not self.policy.automatic:
            raise ConfigError(
                f'{type(self.policy).__name__} needs the progress of the training, but the Trainer does not know its '
                'number of steps (the data set has no length, or the training no end); give the Trainer max_steps'
            )
        return 0.0
