"""Encodings: how numbers become inputs of T time steps. One config line, `model.encoder=dict(type='PoissonEncoder')`.

Without an encoder the encoding is *direct*: the first layer sees the numbers themselves, and an image is the same at
every time step. An encoder in this file turns images (B, ...) in [0, 1] into spikes (T, B, ...). Images in [0, 1] come
from `data_preprocessor=dict(type='ImgDataPreprocessor', mean=[0.0] * 3, std=[255.0] * 3)`.
"""

import numpy as np
import torch
from torch import nn

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.registry import MODELS
from a2sg_zoo.utils.checks import integer, number, positive

# how far rounding may lead out of [0, 1]
_SLACK = 1e-3


class Encoder(nn.Module):
    """Base of the encoders: `encoder(x, T)` maps (B, ...) to (T, B, ...). A subclass writes `encode`.

    Attributes:
        unit_range: whether the input must lie in [0, 1]. On a CPU each batch is checked; on an accelerator only the
            first one, because a check waits for the device. Later values outside are clamped.
        over_time: whether the encoder also takes sequences (T, B, ...), and encodes each time step by itself.
    """

    unit_range = True
    over_time = False
    _checked = False

    def forward(self, x: torch.Tensor, T: int, timed: bool = False) -> torch.Tensor:
        """Encode a batch.

        Args:
            x: images (B, ...), or sequences or frames (T, B, ...).
            T: number of time steps.
            timed: whether x has a time axis already.

        Returns:
            (T, B, ...), of the dtype of x.

        Raises:
            ConfigError: x lies outside [0, 1], or has a time axis that this encoder does not take.
        """
        name = type(self).__name__
        if timed and not self.over_time:
            raise ConfigError(
                f'model.encoder: {name} makes the time axis itself, but the data are sequences or frames '
                f'{tuple(x.shape)}; take PoissonEncoder or DeltaEncoder, or no encoder'
            )
        if not x.is_floating_point():
            raise ConfigError(f'model.encoder: {name} takes floating-point numbers, got {x.dtype}')
        if self.unit_range:
            self._check_range(x)
            x = x.clamp(0, 1)
        return self.encode(x if timed or not self.over_time else x.expand(T, *x.shape), T)

    def encode(self, x: torch.Tensor, T: int) -> torch.Tensor:
        """Return (T, B, ...) for x: (T, B, ...) if `over_time`, else (B, ...)."""
        raise NotImplementedError

    def _check_range(self, x):
        if (self._checked and x.device.type != 'cpu') or torch.compiler.is_compiling() or not x.numel():
            return
        self._checked = True
        low, high = (value.item() for value in torch.aminmax(x.detach()))
        if not (low >= -_SLACK and high <= 1 + _SLACK):  # NaN is outside, too
            raise ConfigError(
                f'model.encoder: {type(self).__name__} takes numbers in [0, 1], but this batch lies in '
                f'[{low:.4g}, {high:.4g}]; images come into [0, 1] by data_preprocessor.mean = [0.0, 0.0, 0.0] and '
                'data_preprocessor.std = [255.0, 255.0, 255.0]'
            )


@MODELS.register_module()
class DirectEncoder(Encoder):
    """Direct encoding, as without an encoder: x[t] = x, of any range. Images keep no time axis.

    A backbone runs its first layer once on an image, and repeats the result at every time step.

    Source: Rueckauer et al., Frontiers in Neuroscience 11:682, 2017 (constant input current).

    >>> import torch
    >>> from a2sg_zoo.models.encoders import DirectEncoder
    >>> DirectEncoder()(torch.rand(2, 3, 8, 8), T=4).shape
    torch.Size([2, 3, 8, 8])
    """

    def forward(self, x: torch.Tensor, T: int, timed: bool = False) -> torch.Tensor:
        """Return x as it is."""
        return x


@MODELS.register_module()
class PoissonEncoder(Encoder):
    """Poisson rate encoding: s[t] = 1 with probability x, independently at each time step, else 0.

    Sequences and frames are encoded with the probability x[t] at time step t.

    In training the random numbers are those of torch's generator, which `StepSeedHook` seeds at each step, so a resumed
    run draws the same spikes. In evaluation every sample of a batch sees the same numbers, from a generator of its
    own: the prediction for an image is always the same, and does not depend on the other images of a batch.

    Args:
        gain: factor on the probability; a product above 1 counts as 1.
        seed: of the random numbers in evaluation, a non-negative integer; its lowest 32 bits count.

    Raises:
        ConfigError: `gain` is not positive, or `seed` is no such integer.

    Source: SpikingJelly's PoissonEncoder; snnTorch's `spikegen.rate`, which has the gain.

    >>> import torch
    >>> from a2sg_zoo.models.encoders import PoissonEncoder
    >>> spikes = PoissonEncoder()(torch.full((2, 1000), 0.3), T=8)
    >>> spikes.shape, round(spikes.mean().item(), 1)
    (torch.Size([8, 2, 1000]), 0.3)
    """

    over_time = True

    def __init__(self, gain: float = 1.0, seed: int = 0):
        super().__init__()
        self.gain = positive('gain', gain, 'model.encoder: PoissonEncoder')
        self.seed = integer('seed', seed, 'model.encoder: PoissonEncoder', 0)

    def encode(self, x: torch.Tensor, T: int) -> torch.Tensor:
        """Draw spikes with probabilities x (T, B, ...)."""
        if self.training:
            uniform = torch.rand(x.shape, dtype=x.dtype, device=x.device)
        else:
            # NumPy's numbers never change, and an exported network holds them as constants; float32 has 24 bits
            drawn = np.random.RandomState(self.seed % 2**32).randint(2**24, size=(len(x), 1, *x.shape[2:]))
            uniform = torch.from_numpy(drawn).to(x.device, torch.float32) / 2**24
        return (uniform < self.gain * x).to(x)


@MODELS.register_module()
class LatencyEncoder(Encoder):
    """Latency encoding (time to first spike): each number in [0, 1] is one spike, and larger numbers spike earlier.

    The spike is at the time step, rounded to an integer,

        linear:  t(x) = (T - 1) (1 - x)
        log:     t(x) = T - 1 - ln(a x + 1),  a = exp(T - 1) - 1

    Args:
        function: 'linear' or 'log'.
        threshold: numbers below it never spike. With 0, a black pixel spikes at the last time step.

    Raises:
        ConfigError: `function` is another text, or `threshold` lies outside [0, 1].

    Source: SpikingJelly's LatencyEncoder (threshold 0); snnTorch's `spikegen.latency` with linear=True, normalize=True
    and clip=True.

    >>> import torch
    >>> from a2sg_zoo.models.encoders import LatencyEncoder
    >>> LatencyEncoder()(torch.tensor([1.0, 0.5, 0.0]), T=3)
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """

    def __init__(self, function: str = 'linear', threshold: float = 0.0):
        super().__init__()
        if function not in ('linear', 'log'):
            raise ConfigError(f"model.encoder: LatencyEncoder: function must be 'linear' or 'log', got {function!r}")
        self.function = function
        self.threshold = number('threshold', threshold, 'model.encoder: LatencyEncoder', 0, 1)

    def encode(self, x: torch.Tensor, T: int) -> torch.Tensor:
        """Encode x (B, ...)."""
        if self.function == 'linear':
            time = (T - 1) * (1 - x)
        else:
            # ln(a x + 1) of a large a: ln a = T - 1 + ln(1 - exp(1 - T))
            log_a = torch.tensor(T - 1.0, dtype=torch.float64)
            log_a = (log_a + torch.log1p(-torch.exp(-log_a))).to(x)
            time = T - 1 - torch.logaddexp(log_a + x.log(), torch.zeros_like(x))
        steps = torch.arange(T, device=x.device).view(-1, *[1] * x.dim())
        return ((time.round() == steps) & (x >= self.threshold)).to(x)


@MODELS.register_module()
class WeightedPhaseEncoder(Encoder):
    """Weighted phase encoding: the spike at phase k = t mod K is bit k of x, the one that is worth 2^-(k + 1).

        s[t] = floor(2^(k + 1) x) mod 2

    Numbers above 1 - 2^-K count as 1 - 2^-K, with a spike at every time step.

    Args:
        phases: number K of phases, after which the bits repeat; None for K = T.

    Raises:
        ConfigError: `phases` is no integer of at least 1.

    Source: Kim et al., Neurocomputing 311:373-386, 2018; SpikingJelly's WeightedPhaseEncoder.

    >>> import torch
    >>> from a2sg_zoo.models.encoders import WeightedPhaseEncoder
    >>> WeightedPhaseEncoder()(torch.tensor([192 / 256, 1 / 256]), T=8).T.int()
    tensor([[1, 1, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 1]], dtype=torch.int32)
    """

    def __init__(self, phases: int | None = None):
        super().__init__()
        self.phases = None if phases is None else integer('phases', phases, 'model.encoder: WeightedPhaseEncoder')

    def encode(self, x: torch.Tensor, T: int) -> torch.Tensor:
        """Encode x (B, ...)."""
        exact = x.double()  # float32 has bits for 24 phases
        phase = torch.arange(T, dtype=exact.dtype, device=x.device) % (self.phases or T)
        # a float64 has no power of 2 above 1,023, and float32 no bits there
        power = 2 ** (phase + 1).clamp(max=1023)
        bits = (power.view(-1, *[1] * x.dim()) * exact).floor().remainder(2)
        return bits.masked_fill(exact == 1, 1).to(x)


@MODELS.register_module()
class DeltaEncoder(Encoder):
    """Delta encoding: a spike where a number grows by at least the threshold in one time step, of any range.

        s[t] = 1 where x[t] - x[t - 1] >= threshold;  x[-1] = 0

    For sequences and frames. An image changes only once, from nothing, so it spikes at the first time step alone.

    Args:
        threshold: of the change, in units of x.
        off_spikes: -1 where x[t] - x[t - 1] <= -threshold.
        from_first: x[-1] = x[0] in place of 0, so that the first time step is silent.

    Raises:
        ConfigError: `threshold` is not positive.

    Source: snnTorch's `spikegen.delta`.

    >>> import torch
    >>> from a2sg_zoo.models.encoders import DeltaEncoder
    >>> x = torch.tensor([1, 2, 0, 2, 2.9])[:, None]
    >>> DeltaEncoder(threshold=1.0, off_spikes=True)(x, T=5, timed=True).flatten()
    tensor([ 1.,  1., -1.,  1.,  0.])
    """

    unit_range = False
    over_time = True

    def __init__(self, threshold: float = 0.1, off_spikes: bool = False, from_first: bool = False):
        super().__init__()
        self.threshold = positive('threshold', threshold, 'model.encoder: DeltaEncoder')
        self.off_spikes, self.from_first = off_spikes, from_first

    def encode(self, x: torch.Tensor, T: int) -> torch.Tensor:
        """Encode x (T, B, ...)."""
        before = x[:1] if self.from_first else torch.zeros_like(x[:1])
        change = x - torch.cat((before, x[:-1]))
        spikes = (change >= self.threshold).to(x)
        return spikes - (change <= -self.threshold).to(x) if self.off_spikes else spikes
