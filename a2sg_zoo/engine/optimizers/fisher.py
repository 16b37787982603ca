"""Steps preconditioned by the Fisher information."""

from typing import Any

import torch
from mmengine.optim import OptimWrapper

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import OPTIM_WRAPPERS
from a2sg_zoo.utils.checks import number, positive


@OPTIM_WRAPPERS.register_module()
class FisherOptimWrapper(OptimWrapper):
    """Divides the gradient by the diagonal of the empirical Fisher information.

        F <- decay F + (1 - decay) g^2,    F' = F / (1 - decay^n)
        g <- c g / (F' + damping)

    n is the number of steps in which the parameter had a gradient. c is one number for the network; it keeps |g| as it
    was, so learning rates and clipping keep their meaning. The running mean F is saved with the optimiser.

    This is a reconstruction: the A2SG paper names "FIM-aware updates" without a formula. F is estimated from gradients
    of whole batches, not of single samples, so it is too small by about the batch size. Where F' is far below the
    damping, the step is the plain one.

    Args:
        damping: positive number that is added to F'.
        decay: of the running mean, in [0, 1).
        **kwargs: those of MMEngine's `OptimWrapper`.

    Raises:
        ConfigError: a value is out of its range, or a resumed checkpoint has no running mean.
    """

    def __init__(self, *args: Any, damping: float = 1e-3, decay: float = 0.95, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.damping = positive('damping', damping, self)
        self.decay = number('decay', decay, self, 0, 1, below_high=True)
        self.fisher: list[torch.Tensor] | None = None
        self.steps: list[int] = []

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [p for group in self.param_groups for p in group['params']]

    def step(self, **kwargs: Any) -> None:
        """Updates F, divides the gradients, and takes the optimiser's step.

        Args:
            **kwargs: those of the optimiser's `step`.
        """
        parameters = self._parameters()
        if self.fisher is None:
            self.fisher, self.steps = [torch.zeros_like(p) for p in parameters], [0] * len(parameters)
        self.steps = [n + (p.grad is not None) for p, n in zip(parameters, self.steps)]
        found = [(p.grad, f, n) for p, f, n in zip(parameters, self.fisher, self.steps) if p.grad is not None]
        if found:
            self._divide(found)
        super().step(**kwargs)

    def _divide(self, found):
        # a gradient with NaN or infinity in it does not change F
        finite = torch.stack([g.isfinite().all() for g, _, _ in found]).all()
        before = torch.stack([g.norm() for g, _, _ in found]).norm()
        for g, f, n in found:
            f.copy_(torch.where(finite, torch.lerp(g.square(), f, self.decay), f))
            g.div_(f / (1 - self.decay**n) + self.damping)
        after = torch.stack([g.norm() for g, _, _ in found]).norm()
        for g, _, _ in found:
            g.mul_(torch.where(after > 0, before / after, 1.0))

    def state_dict(self) -> dict:
        """MMEngine's state with F."""
        return {**super().state_dict(), 'fisher': dict(steps=self.steps, mean=self.fisher)}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restores a state of this wrapper.

        Args:
            state_dict: from `state_dict`.
        """
        state_dict = dict(state_dict)
        fisher = state_dict.pop('fisher', None)
        if fisher is None:
            raise ConfigError(
                'optim_wrapper.type: this checkpoint was trained without FisherOptimWrapper, so it has no running mean '
                'of the Fisher information; start a new run from its weights (load_from), or resume with its own '
                'optim_wrapper'
            )
        super().load_state_dict(state_dict)
        steps, mean = fisher['steps'], fisher['mean']
        self.fisher = None if mean is None else [m.to(p) for m, p in zip(mean, self._parameters())]
        # older checkpoints have one number for all parameters
        self.steps = steps if isinstance(steps, list) else [steps] * len(self.fisher or ())
