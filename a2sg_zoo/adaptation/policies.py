"""The policies of the paper: which surrogate the neurons of a network use, and which width at which step.

    policy   last time step            earlier time steps          shape unless said
    Fixed    beta stands still         beta stands still           TRI, area 1
    SASG     argmin SGV                beta of the last step       TRI, peak 1
    TASG     beta stands still         argmax TGC                  TRI, peak 1
    STASG    argmin SGV                argmax TGC                  TRI, peak 1
    A2SG     argmin SGV                argmax TGC                  ASY, h = 1/2

A policy works inside the backward pass of each layer: a search goes from the last time step to the first, where
g = dL/ds and delta[t+1] are known. `attach` puts a network under a policy; `AdaptationHook` does so in a training run.

Where the paper is silent, these are choices of this project, all of them parameters: the search space, its resolution,
the widths of S-ASG at earlier steps, h, the sample of elements that a search looks at, the share of elements that a
window must hold, and that under gradient accumulation the first micro-batch decides.

The methods of other groups are in `a2sg_zoo.adaptation.baselines`.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from a2sg_zoo.adaptation.base import Layer, Policy, generator
from a2sg_zoo.adaptation.objectives import DirectObjective, MomentObjective
from a2sg_zoo.adaptation.searchers import ExactSearcher, Searcher
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import LayerGradients, LocalGradient, fused
from a2sg_zoo.neurons.controllers import widths_between
from a2sg_zoo.registry import POLICIES, SEARCHERS
from a2sg_zoo.surrogates import Surrogate, UnitArea, UnitNorm, is_linear
from a2sg_zoo.utils.checks import integer, number, positive

# number of sampled elements that lie side by side: one cache line, in float32
_RUN = 16
# the share of elements inside a window below which a layer counts as starving
_STARVING = 0.01
_SHOWN = 8
_GAINS = dict(area=UnitArea, norm=UnitNorm)


@POLICIES.register_module()
class Fixed(Policy):
    """STBP with a fixed surrogate: every layer and time step has the surrogate's own width.

    Args:
        surrogate: a `Surrogate` or its config.
    """

    def __init__(self, surrogate: Surrogate | dict = dict(type='TRI')) -> None:
        super().__init__(surrogate)


class AdaptivePolicy(Policy):
    """Searches beta[T] for the least SGV, and beta[t < T] for the greatest TGC[t] = cos(delta[t], delta[t+1]).

    Where a search has nothing to decide by (no element in any candidate window, no gradient at all, NaN or infinity in
    it), the width in force stays.

    `min_inside` guards against a starving search. A temporal search can raise the cosine by shrinking a window until
    it silences the gradient of its own time step: then delta[t] is c[t] alone, which is nearly parallel to delta[t+1].
    In a small network with a spiking output layer all widths of earlier steps shrink so, and nothing is learned. A
    candidate therefore counts only if its window holds the share `min_inside` of the elements, or as large a share as
    the widest candidate does where that is less. Where all candidates hold that share, the search is that of the paper.
    `min_inside=0` leaves the guard out.

    A warning names the layers with less than 1 % of the elements inside the windows of the latest searches, at most
    once in a training.

    Args:
        surrogate: see `Policy`; its beta is the width to start from. It should have peak 1 rather than area 1: SGV
            has the unit of delta, and under area 1 the widest window always has the least.
        searcher: a `Searcher` or its config.
        beta_min: lower end of the search space, in units of v_threshold.
        beta_max: upper end of the search space, in units of v_threshold.
        candidates: number of widths in the grid between them.
        objective: for the last time step, 'sgv' as in the paper, or the scale-free 'cv'.
        interval: search in every interval-th optimiser step, and hold the widths between.
        sample: number of elements of a layer that a search looks at in each process, drawn at random in runs of 16;
            None for all.
        gain: 'shape' applies the surrogate as it is, so a wide window passes on more gradient than a narrow one;
            'area' divides it by its area and 'norm' by the root of the integral of its square, for shapes that are
            linear in their window. SGV is that of the surrogate as it is in all cases, because an area of 1 leaves it
            without an inner minimum; TGC is that of the applied shape.
        min_inside: share of the elements that a candidate's window must hold, from 0 to below 1; see above.
        temporal_part: what the temporal search compares with delta[t+1]: 'delta' is delta[t] = g f + c, as the paper
            defines TGC; 'own' is g f alone, the part that the width decides. A window that shuts out nearly everything
            leaves c, which is nearly parallel to delta[t+1], so 'delta' can favour windows that silence their step.
        memory: from 0 to below 1. The sums that an objective follows from are a running mean over the searches, in
            which the sums of earlier searches have this weight; 0 looks at the batch at hand alone, as in the paper.
            Needs a shape that is linear in its window. The mean is saved with the neuron as `policy_moments`; sums of
            another search space or kind of shape are left out.
        trust: the factor by which one search may change a width, at least 1; None for no limit, as in the paper. A
            search chooses from beta / trust - step / 2 to beta trust + step / 2, where beta is the width in force, or
            the end of the search space next to it, and step is that of the grid. So a width on the grid stands still
            where (trust - 1) beta is below step / 2.
        steps_per_width: number of neighbouring time steps that share a width, for long sequences. The paper has 1, a
            search at every time step. With k, the temporal search is made at the time steps k, 2 k, ... alone, and its
            width serves the k - 1 time steps before, too. The last time step is always searched.

    Raises:
        ConfigError: an argument is out of its range, or names something unknown.

    Source: A2SG (ICML 2026, arXiv 2606.11236).
    """

    spatial = True
    temporal = True

    def __init__(
        self,
        surrogate: Surrogate | dict = dict(type='TRI', normalize='peak'),
        searcher: Searcher | dict = dict(type='ExactSearcher'),
        beta_min: float = 0.1,
        beta_max: float = 2.0,
        candidates: int = 128,
        objective: str = 'sgv',
        interval: int = 1,
        sample: int | None = 65536,
        gain: str = 'shape',
        min_inside: float = 0.05,
        steps_per_width: int = 1,
        temporal_part: str = 'delta',
        memory: float = 0.0,
        trust: float | None = None,
    ) -> None:
        super().__init__(surrogate)
        name = type(self).__name__
        _one_of('gain', gain, ('shape', *_GAINS), name)
        self.searched = self.surrogate
        if gain != 'shape':
            if not is_linear(self.surrogate):
                raise ConfigError(
                    f'{name}: gain = {gain!r} needs a shape that is linear in its window, such as TRI, BOX or ASY; the '
                    f'surrogate is {self.surrogate}'
                )
            self.surrogate = _GAINS[gain](self.surrogate)
        beta_min, beta_max = positive('beta_min', beta_min, name), positive('beta_max', beta_max, name)
        if beta_min >= beta_max:
            raise ConfigError(f'{name}: beta_min = {beta_min} must be smaller than beta_max = {beta_max}')
        candidates, interval = integer('candidates', candidates, name, 2), integer('interval', interval, name)
        sample = None if sample is None else integer('sample', sample, name)
        _one_of('objective', objective, ('sgv', 'cv'), name)
        _one_of('temporal_part', temporal_part, ('delta', 'own'), name)
        self.own_part = temporal_part == 'own'
        self.memory = number('memory', memory, name, 0, 1, below_high=True)
        self.trust = None if trust is None else number('trust', trust, name, 1)
        self.searcher = searcher if isinstance(searcher, Searcher) else SEARCHERS.build(searcher)
        self._ends = beta_min, beta_max
        self.grid = torch.linspace(beta_min, beta_max, candidates, dtype=torch.float64)
        self.scale_free = objective == 'cv'
        self.interval, self.sample = interval, sample
        self.min_inside = number('min_inside', min_inside, name, 0, 1, below_high=True)
        self.steps_per_width = integer('steps_per_width', steps_per_width, name)
        if self.memory and not (is_linear(self.searched) and self.searched.non_negative):
            raise ConfigError(
                f'{name}: memory = {self.memory:g} needs a shape that is linear in its window and nowhere negative, '
                f'such as TRI, BOX, or ASY with h >= 1/2; the surrogate is {self.searched}'
            )
        self.searching = False
        self.searches = dict(spatial=0, temporal=0)
        self.on_bound: dict[str, int | Tensor] = dict(spatial=0, temporal=0)
        self._inside: dict[tuple[Layer, int], tuple[Tensor, Tensor]] = {}
        self._mixed: dict[Layer, list[tuple[Tensor, Tensor]]] = {}
        self._searched = 0
        self._looking = self._warned = False
        self._seed = (0, 0)
        self._runs: dict[tuple[int, torch.device], Tensor] = {}
        self._grids: dict[tuple[float, torch.device], Tensor] = {}
        self._tables: dict[tuple[float, torch.device], Any] = {}

    def __repr__(self) -> str:
        space = f'beta in [{self.grid[0]:g}, {self.grid[-1]:g}] x v_threshold'
        return f'{type(self).__name__}({self.surrogate}, {self.searcher}, {space}, interval={self.interval})'

    def adopt(self, neuron: Layer) -> None:
        super().adopt(neuron)
        if self.memory:
            neuron.keep('policy_moments', self._no_moments(neuron.beta.numel(), neuron.beta))

    def begin(
        self, iteration: int, micro_batch: int = 0, observe: bool = False, seed: int = 0, progress: float = 0.0
    ) -> None:
        super().begin(iteration, micro_batch, observe, seed, progress)
        self._warn_of_starving()
        self.searching = micro_batch == 0 and iteration % self.interval == 0
        self._searched += self.searching
        # looking at the shares waits for the device, so it is done now and then
        n = self._searched
        self._looking = self.searching and not self._warned and n >= 8 and n & (n - 1) == 0
        self._seed = (seed, iteration)
        self._runs, self._mixed = {}, {}

    def width(self, neuron: Layer, t: int, gradient: LocalGradient, later: Tensor | None) -> Tensor:
        in_force = super().width(neuron, t, gradient, later)
        last = later is None
        if not (self.spatial if last else self.temporal):
            return in_force if last else later
        shape = self.searched if last else self.surrogate
        grid = self._grid_for(neuron, gradient.z.device)
        if self.own_part:
            gradient = gradient._replace(c=None)
        allowed = None
        if self.trust is not None:
            # half a step of the grid more, so that there is always a candidate
            near, more = in_force.clamp(grid[0], grid[-1]), (grid[1] - grid[0]) / 2
            allowed = (grid >= near / self.trust - more) & (grid <= near * self.trust + more)
        by_moments = is_linear(shape) and (shape.non_negative or not last)
        kind_of_objective: Any = MomentObjective if by_moments else DirectObjective
        objective = kind_of_objective(shape, grid, gradient, self.scale_free, self.min_inside, allowed)
        if self.memory:
            self._mix(neuron, t, last, objective)
        index, found = self.searcher(objective, (*self._seed, neuron.order, t))
        # indexing with brackets would read the index on the host
        chosen = torch.where(found, objective.grid.take(index).to(in_force.dtype), in_force)
        kind = 'spatial' if last else 'temporal'
        self.searches[kind] += 1
        self.on_bound[kind] = self.on_bound[kind] + (found & ((index == 0) | (index == len(self.grid) - 1)))
        if self._looking:
            self._inside[neuron, t] = chosen, (gradient.z.abs() <= chosen).float().mean()
        return chosen

    def widths(self, neuron: Layer, gradients: LayerGradients) -> Tensor | None:
        """Those of the kernels of `triton_search`, on a CUDA device, where they support what this policy does."""
        table = self._table_for(neuron, gradients)
        if table is None:
            return None
        from a2sg_zoo.adaptation import triton_search

        T, last = len(gradients.u), gradients.later is None
        in_force = widths_between(neuron.beta, gradients.start, T)
        try:
            found = triton_search.search(gradients, in_force, table)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # compilers raise many kinds; an error that none of them caused is raised by `width`
            fused.say_uncompiled('the search of widths', error)
            self._tables[neuron.v_threshold, gradients.u.device] = None
            return None
        on_bound = found.on_bound.split([T - last, int(last)])
        for kind, count, part in zip(('temporal', 'spatial'), (T - last, last and self.spatial), on_bound):
            self.searches[kind] += int(count)
            self.on_bound[kind] = self.on_bound[kind] + part.sum()
        return found.widths

    def _table_for(self, neuron, gradients):
        """What the searches in such layers have in common, for the kernels; None where there are none."""
        shapes: Any = (self.searched, self.surrogate)
        own = type(self).width is not AdaptivePolicy.width or type(self.searcher) is not ExactSearcher
        plain = not own and not self.memory and self.steps_per_width == 1
        linear = all(fused.runs_on_triton(gradients.u, x) for x in shapes)
        if not (plain and linear and self.searched.non_negative and self.temporal and not self._looking):
            return None
        if neuron.beta.dtype != torch.float32:
            return None
        key = neuron.v_threshold, gradients.u.device
        if key not in self._tables:
            from a2sg_zoo.adaptation.triton_search import search_table

            options = self.scale_free, self.spatial, not self.own_part, self.trust, self.min_inside
            grid, ends = self.grid * neuron.v_threshold, (end * neuron.v_threshold for end in self._ends)
            self._tables[key] = search_table(grid, *ends, *shapes, *options, key[1])
        return self._tables[key]

    def runs(self, N: int, device: torch.device) -> tuple[Tensor, int] | None:
        """Runs of neighbours drawn at random: reading one element of memory reads the whole run."""
        if self.sample is None or N <= self.sample:
            return None
        length = min(_RUN, self.sample)
        if (N, device) not in self._runs:
            self._runs[N, device] = torch.randint(
                N // length, (self.sample // length,), generator=generator(device, *self._seed, N), device=device
            )
        return self._runs[N, device], length

    def _no_moments(self, T, like):
        return like.new_zeros(T, 3 + MomentObjective.most_moments(len(self.grid)))

    def _mix(self, neuron, t, last, objective):
        """Mixes the sums of earlier searches into those of an objective; `remember` keeps the mixture."""
        kept, new = neuron.policy_moments, objective.moments
        none = self._no_moments(t + 1, kept)
        if kept.shape[1] != none.shape[1] or last and len(kept) != t + 1:
            neuron.policy_moments = none
        elif len(kept) <= t:  # no search at the last step, or no gradient from it
            neuron.policy_moments = torch.cat([kept, none[len(kept) :]])
        kept = neuron.policy_moments[t, : 3 + len(new)]
        # each row begins with what its sums belong to: the ends of the grid, and which sums they are
        kind = objective.grid.new_full((1,), self.own_part + 2 * self.searched.even)
        owner = torch.cat([objective.grid[:1], objective.grid[-1:], kind]).to(kept.dtype)
        past = torch.where((kept[:3] == owner).all(), kept[3:].double(), 0)
        # the first search has no past: all sums are scaled alike then, and an objective is a ratio of them
        objective.moments = mixed = self.memory * past + (1 - self.memory) * new
        # what is not finite gives no width, and is not kept
        mixture = torch.cat([owner, mixed.to(kept.dtype)])
        self._mixed.setdefault(neuron, []).append((kept, torch.where(new.sum().isfinite(), mixture, kept)))

    def remember(self, neuron: Layer, finite: Tensor) -> None:
        for kept, mixture in self._mixed.pop(neuron, []):
            kept.copy_(torch.where(finite, mixture, kept))

    def _grid_for(self, neuron, device):
        key = neuron.v_threshold, device
        if key not in self._grids:
            self._grids[key] = (self.grid * neuron.v_threshold).to(device)
        return self._grids[key]

    def _warn_of_starving(self):
        """Looks at what the 8th, 16th, 32nd, ... iteration with a search has found."""
        if not self._inside:
            return
        found = torch.stack([torch.stack([width.float(), share]) for width, share in self._inside.values()]).tolist()
        starving = [
            f'{self.layers.get(neuron, type(neuron).__name__)} (t = {t + 1}, width {width:.3g}, {share:.2%} inside)'
            for (neuron, t), (width, share) in zip(self._inside, found)
            if share < _STARVING
        ]
        self._inside = {}
        if starving:
            self._warned = True
            more = f' and {len(starving) - _SHOWN} more' if len(starving) > _SHOWN else ''
            print_log(
                f'{type(self).__name__}: less than {_STARVING:.0%} of the elements of {len(starving)} of {len(found)} '
                f'layers and time steps lie inside their window, so hardly any gradient passes: '
                f'{", ".join(starving[:_SHOWN])}{more}. Consider a larger min_inside or beta_max, or weights and '
                'inputs that bring membrane potentials nearer to the threshold. (Said once.)',
                'current',
                logging.WARNING,
            )


def _one_of(name, value, words, owner):
    if value not in words:
        raise ConfigError(f'{owner}: {name} must be one of {", ".join(map(repr, words))}, got {value!r}')


@POLICIES.register_module()
class SASG(AdaptivePolicy):
    """Spatial adaptation alone: every time step uses the width found at the last. See `AdaptivePolicy`."""

    temporal = False


@POLICIES.register_module()
class TASG(AdaptivePolicy):
    """Temporal adaptation alone: the width of the last step stands still. See `AdaptivePolicy`."""

    spatial = False


@POLICIES.register_module()
class STASG(AdaptivePolicy):
    """Spatial and temporal adaptation of a symmetric shape. See `AdaptivePolicy`."""


@POLICIES.register_module()
class A2SG(AdaptivePolicy):
    """Spatial and temporal adaptation of the asymmetric shape: the method of the paper. See `AdaptivePolicy`.

    >>> import torch
    >>> from a2sg_zoo.adaptation import attach
    >>> from a2sg_zoo.neurons import LIF
    >>> network = torch.nn.Sequential(torch.nn.Linear(3, 20), LIF(T=4), torch.nn.Linear(20, 2))
    >>> policy = A2SG(beta_min=0.2)
    >>> neurons = attach(network, policy)
    >>> policy.begin(iteration=0)  # before each forward pass
    >>> network(torch.randn(4, 8, 3)).square().mean().backward()  # searches in here
    >>> neurons['1'].beta.shape  # one width a time step
    torch.Size([4])
    """

    def __init__(self, surrogate: Surrogate | dict = dict(type='ASY'), **kwargs) -> None:
        super().__init__(surrogate, **kwargs)
