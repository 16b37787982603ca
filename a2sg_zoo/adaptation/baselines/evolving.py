"""IM-Loss's evolving surrogate: a tanh that steepens as the training goes on."""

from a2sg_zoo.adaptation.policies import Policy
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import POLICIES
from a2sg_zoo.surrogates import Tanh


@POLICIES.register_module()
class EvolvingTanh(Policy):
    """The derivative of tanh(K z) / 2 + 1/2, with K growing from K_min to K_max over the training.

        K(p) = ((10^p - 1) K_max + (10 - 10^p) K_min) / 9,    p = share of the training that is done
        beta = 1 / K, in the unit of u, for all layers and time steps

    At first many elements receive a little gradient, at the end few near the threshold receive much.

    Formula and bounds are the paper's. It counts p in epochs; here p moves with every iteration.

    Args:
        K_min: steepness at the start.
        K_max: steepness at the end.

    Source: Guo et al., NeurIPS 2022 (IM-Loss), the evolutionary surrogate gradient. The loss of that paper is a
    method by itself.
    """

    def __init__(self, K_min=1.0, K_max=10.0):
        super().__init__(Tanh(K_min))
        self.K_min, self.K_max = 1 / self.surrogate.beta, 1 / Tanh(K_max).beta
        if self.K_min > self.K_max:
            raise ConfigError(f'EvolvingTanh: K_min = {K_min} must not exceed K_max = {K_max}')
        self.K = self.K_min

    def begin(self, iteration, micro_batch=0, observe=False, seed=0, progress=0.0):
        super().begin(iteration, micro_batch, observe, seed, progress)
        self.K = ((10**progress - 1) * self.K_max + (10 - 10**progress) * self.K_min) / 9

    def choose(self, neuron, gradients):
        return neuron.beta.fill_(1 / self.K)
