"""The encoders beside those of SpikingJelly and snnTorch: the share of equal spikes, as a table.

python -m tests.models.encoders.equality
"""

from collections.abc import Callable, Iterator

import torch

from a2sg_zoo.models.encoders import DeltaEncoder, Encoder, LatencyEncoder, PoissonEncoder, WeightedPhaseEncoder

STEPS = (1, 2, 4, 8, 16, 64)


def images(T: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """All 256 grey values and random numbers, in [0, 1]: (4, 1, 16, 32)."""
    generator = torch.Generator().manual_seed(T)
    values = torch.cat((torch.arange(256) / 255, torch.rand(1792, generator=generator, dtype=torch.float64)))
    return values.to(dtype)[torch.randperm(2048, generator=generator)].view(4, 1, 16, 32)


def sequences(T: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """A random walk in steps of 0.05, (T, 3, 40)."""
    steps = torch.randint(-4, 5, (T, 3, 40), generator=torch.Generator().manual_seed(T))
    return (steps.cumsum(0) * 0.05).to(dtype)


def _jelly(make: Callable, x: torch.Tensor, T: int) -> torch.Tensor:
    from spikingjelly.activation_based import encoding

    encoder = make(encoding)
    return torch.stack([encoder(x) for _ in range(T)])


def _drawn(encode: Callable[[], torch.Tensor]) -> torch.Tensor:
    torch.manual_seed(5)
    return encode()


def pairs(T: int, dtype: torch.dtype = torch.float64) -> Iterator[tuple[str, str, torch.Tensor, torch.Tensor]]:
    """Yield (encoder, reference, our spikes, their spikes) for each pair that is defined alike."""
    from snntorch import spikegen

    x, walk = images(T, dtype), sequences(T, dtype)

    def ours(encoder: Encoder, x=x, timed=False):
        return encoder(x, T, timed)

    yield (
        'PoissonEncoder',
        'spikingjelly PoissonEncoder',
        _drawn(lambda: ours(PoissonEncoder())),
        _drawn(lambda: _jelly(lambda m: m.PoissonEncoder(), x, T)),
    )
    for function in ('linear', 'log'):
        yield (
            f'LatencyEncoder(function={function!r})',
            'spikingjelly LatencyEncoder',
            ours(LatencyEncoder(function)),
            _jelly(lambda m, function=function: m.LatencyEncoder(T, function), x, T),
        )
    for threshold in (0.01, 0.3) if T > 1 else ():  # snnTorch needs two steps
        yield (
            f'LatencyEncoder(threshold={threshold})',
            'snntorch latency',
            ours(LatencyEncoder(threshold=threshold)),
            spikegen.latency(x, T, threshold=threshold, linear=True, normalize=True, clip=True),
        )
    yield (
        'WeightedPhaseEncoder',
        'spikingjelly WeightedPhaseEncoder',
        ours(WeightedPhaseEncoder()),
        _jelly(lambda m: m.WeightedPhaseEncoder(T), x.clamp(max=1 - 2.0**-T), T),
    )
    for off_spikes in (False, True):
        for from_first in (False, True):
            yield (
                f'DeltaEncoder({off_spikes=}, {from_first=})',
                'snntorch delta',
                ours(DeltaEncoder(0.1, off_spikes, from_first), walk, True),
                spikegen.delta(walk, 0.1, padding=from_first, off_spike=off_spikes),
            )


def main() -> None:
    """Print the table."""
    rows: dict[tuple[str, str], list[float]] = {}
    for T in STEPS:
        for encoder, reference, ours, theirs in pairs(T):
            rows.setdefault((encoder, reference), []).append((ours == theirs).double().mean().item())
    print(f'Share of equal spikes in %, float64, the least over T = {", ".join(map(str, STEPS))}\n')
    print('| encoder | reference | equal |\n|---|---|---|')
    for (encoder, reference), shares in rows.items():
        print(f'| {encoder} | {reference} | {100 * min(shares):.4g} |')


if __name__ == '__main__':
    main()
