"""The evolving surrogate of IM-Loss: a tanh that becomes steeper as the training proceeds."""

from torch import Tensor

from a2sg_zoo.adaptation.base import Layer, Policy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LocalGradient
from a2sg_zoo.registry import POLICIES
from a2sg_zoo.surrogates import Tanh


@POLICIES.register_module()
class EvolvingTanh(Policy):
    """The derivative of tanh(K z) / 2 + 1/2, with K growing from K_min to K_max over the training.

        K(p) = ((10^p - 1) K_max + (10 - 10^p) K_min) / 9,    p = share of the training that is done
        beta = 1 / K, in the unit of u, for all layers and time steps

    At first many elements receive a little gradient; at the end the few near the threshold receive much.

    Formula and bounds are those of the paper. The paper counts p in epochs; here p changes in every iteration.

    Args:
        K_min: steepness at the start, in the inverse unit of u.
        K_max: steepness at the end.

    Raises:
        ConfigError: K_min exceeds K_max.

    Source: Guo et al., NeurIPS 2022 (IM-Loss), the evolutionary surrogate gradient. The loss of that paper is a
    separate method.
    """

    needs_gradient = False
    automatic = False

    def __init__(self, K_min: float = 1.0, K_max: float = 10.0) -> None:
        super().__init__(Tanh(K_min))
        self.K_min, self.K_max = 1 / self.surrogate.beta, 1 / Tanh(K_max).beta
        if self.K_min > self.K_max:
            raise ConfigError(f'EvolvingTanh: K_min = {K_min} must not exceed K_max = {K_max}')
        self.K = self.K_min

    def begin(
        self, iteration: int, micro_batch: int = 0, observe: bool = False, seed: int = 0, progress: float = 0.0
    ) -> None:
        super().begin(iteration, micro_batch, observe, seed, progress)
        self.K = ((10**progress - 1) * self.K_max + (10 - 10**progress) * self.K_min) / 9

    def width(self, neuron: Layer, t: int, gradient: LocalGradient, later: Tensor | None) -> Tensor:
        return neuron.beta.new_full((), 1 / self.K)
