"""Policies: which surrogate the neurons of a network use, and which window at which step.

    policy   last time step            earlier time steps          shape unless said
    Fixed    beta stands still         beta stands still           TRI, area 1
    SASG     argmin SGV                beta of the last step       TRI, peak 1
    TASG     beta stands still         argmax TGC                  TRI, peak 1
    STASG    argmin SGV                argmax TGC                  TRI, peak 1
    A2SG     argmin SGV                argmax TGC                  ASY, h = 1/2

A policy works inside the backward pass of each layer: a search goes from the last time step to the first, where
g = dL/ds and delta[t+1] are known. `attach` gives a network to a policy; `AdaptationHook` does so in a training run.

Where the paper is silent, these are this project's choices, all of them parameters: the search space, its
resolution, S-ASG's window at earlier steps, h, the sample of elements that a search looks at, and that under
gradient accumulation the first micro-batch decides.

Other groups' methods are in `a2sg_zoo.adaptation.baselines`.
"""

import torch

from a2sg_zoo.adaptation.objectives import DirectObjective, MomentObjective, summed_over_processes
from a2sg_zoo.adaptation.observables import (
    coefficient_of_variation,
    spatial_gradient_variation,
    temporal_gradient_consistency,
)
from a2sg_zoo.adaptation.searchers import Searcher
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.neurons import named_neurons
from a2sg_zoo.neurons.dynamics import wide
from a2sg_zoo.neurons.multistep import FixedWindow
from a2sg_zoo.registry import POLICIES, SEARCHERS, SURROGATES
from a2sg_zoo.surrogates import PiecewiseLinear, Surrogate, UnitArea
from a2sg_zoo.surrogates.base import positive

# elements of a sample that lie side by side: a line of cache, in float32
_RUN = 16


def attach(model, policy):
    """Puts all neurons of `model` under `policy`: its surrogate, its initial window, its search. Returns them."""
    neurons = named_neurons(model)
    if not neurons:
        raise ConfigError(f'{type(model).__name__} has no spiking neurons for {type(policy).__name__} to work on')
    for order, neuron in enumerate(neurons.values()):
        neuron.policy = policy
        neuron.order = order
        policy.adopt(neuron)
    return neurons


class Policy:
    """Sets the window of every neuron's surrogate.

    To add one, subclass, override `choose`, and register it with `@POLICIES.register_module()`.

    Args:
        surrogate: a `Surrogate` or its config: the shape that all neurons take.

    Attributes:
        searching: whether windows may change in this iteration.
        observing: whether statistics are taken in this iteration, into `records`.
        records: {neuron: {statistic: tensor}} of the latest observed iteration.
    """

    def __init__(self, surrogate):
        self.surrogate = surrogate if isinstance(surrogate, Surrogate) else SURROGATES.build(surrogate)
        self.searching = False
        self.observing = False
        self.records = {}

    def __repr__(self):
        return f'{type(self).__name__}({self.surrogate})'

    def adopt(self, neuron):
        """Gives a neuron its surrogate, its initial window, and what else it needs; called once by `attach`."""
        neuron.surrogate = self.surrogate
        neuron.beta = torch.full_like(neuron.beta[:1], self.surrogate.beta)

    def prepare(self, model, data_batch, iteration):
        """Called before `begin`, with the network and the raw batch that it trains on next, for policies that need more
        than what the backward pass shows. `iteration` is as for `begin`."""

    def begin(self, iteration, micro_batch=0, observe=False, seed=0, progress=0.0):
        """To be called before each forward pass.

        Args:
            iteration: optimiser steps done so far.
            micro_batch: which of the micro-batches of that step this is.
            observe: take statistics.
            seed: of the run; searches draw from (seed, iteration) alone, so that a resumed run repeats them.
            progress: share of the training that is done, from 0 to 1.
        """
        self.observing = observe
        if observe:
            self.records = {}

    @property
    def active(self):
        """Whether a backward pass of this iteration has anything to ask this policy; if not, windows stand still."""
        own = type(self)
        return self.observing or own.choose is not Policy.choose or own.settle is not Policy.settle

    def window(self, neuron):
        """The window object for a neuron's backward pass; see `multistep`."""
        return _Window(self, neuron) if self.active else FixedWindow(neuron.surrogate, neuron.beta)

    def choose(self, neuron, gradients):
        """beta of this neuron, a tensor of 1 element or T; may write to `neuron.beta`. Called once a backward pass.

        `gradients` is `LayerGradients`.
        """
        return neuron.beta

    def settle(self, neuron, u, delta):
        """Called at the end of the neuron's backward pass, with u and delta = dL/du, each (T, N)."""

    def observe(self, neuron, u, delta):
        """Takes the statistics of one layer. u, delta: (T, N)."""
        T = len(delta)
        tgc = [temporal_gradient_consistency(delta[t], delta[t + 1]) for t in range(T - 1)]
        self.records[neuron] = dict(
            beta=neuron.beta.expand(T).clone(),
            sgv=spatial_gradient_variation(delta[-1]),
            tgc=torch.stack(tgc) if tgc else delta.new_empty(0),
            cv=torch.stack([coefficient_of_variation(d) for d in delta]),
            rate=(u >= neuron.v_threshold).float().mean(),
            u_mean=wide(u).mean(1),
            u_std=wide(u).std(1, correction=0),
        )


class _Window:
    """One neuron's backward pass under a policy."""

    def __init__(self, policy, neuron):
        self.policy = policy
        self.neuron = neuron
        self.surrogate = neuron.surrogate
        watched = policy.observing or type(policy).settle is not Policy.settle
        self.done = self._done if watched else None

    def choose(self, gradients):
        return self.policy.choose(self.neuron, gradients)

    def _done(self, u, delta):
        self.policy.settle(self.neuron, u, delta)
        if self.policy.observing:
            self.policy.observe(self.neuron, u, delta)


@POLICIES.register_module()
class Fixed(Policy):
    """STBP with a fixed surrogate: beta is the surrogate's own, everywhere and always."""

    def __init__(self, surrogate=dict(type='TRI')):
        super().__init__(surrogate)


class AdaptivePolicy(Policy):
    """Searches beta[T] for the least SGV, and beta[t < T] for the greatest TGC[t] = cos(delta[t], delta[t+1]).

    Where a search has nothing to go by (no element in any candidate window, no gradient at all, NaN or infinity in
    it) the window in force stays.

    Args:
        surrogate: see `Policy`; its beta is where the windows start. Should have peak 1 rather than area 1: SGV
            carries delta's unit, and under area 1 the widest window always has the least.
        searcher: a `Searcher` or its config.
        beta_min, beta_max: the search space, in units of v_threshold.
        candidates: number of windows in the grid between them.
        objective: 'sgv' as in the paper, or the scale-free 'cv', for the last time step.
        interval: search in every interval-th optimiser step, hold beta between.
        sample: number of a layer's elements a search looks at in each process, drawn at random in runs of 16; None for
            all.
        gain: 'shape' applies the surrogate as it is, so that a wide window passes on more gradient than a narrow one;
            'area' divides it by its area, for shapes that are linear in their window. SGV is that of the surrogate as
            it is either way, for an area of 1 leaves it without an inner minimum; TGC is that of what is applied.

    Source: A2SG (ICML 2026, arXiv 2606.11236).
    """

    spatial = True
    temporal = True

    def __init__(
        self,
        surrogate=dict(type='TRI', normalize='peak'),
        searcher=dict(type='TPESearcher'),
        beta_min=0.1,
        beta_max=2.0,
        candidates=128,
        objective='sgv',
        interval=1,
        sample=65536,
        gain='shape',
    ):
        super().__init__(surrogate)
        name = type(self).__name__
        if gain not in ('shape', 'area'):
            raise ConfigError(f"{name}: gain must be 'shape' or 'area', got {gain!r}")
        self.searched = self.surrogate
        if gain == 'area' and isinstance(self.surrogate, PiecewiseLinear):
            self.surrogate = UnitArea(self.surrogate)
        beta_min, beta_max = positive('beta_min', beta_min, name), positive('beta_max', beta_max, name)
        if beta_min >= beta_max:
            raise ConfigError(f'{name}: beta_min = {beta_min} must be smaller than beta_max = {beta_max}')
        for key, value, least in (('candidates', candidates, 2), ('interval', interval, 1), ('sample', sample, 1)):
            if not (value is None and key == 'sample') and not (isinstance(value, int) and value >= least):
                raise ConfigError(f'{name}: {key} must be an integer >= {least}, got {value!r}')
        if objective not in ('sgv', 'cv'):
            raise ConfigError(f"{name}: objective must be 'sgv' or 'cv', got {objective!r}")
        self.searcher = searcher if isinstance(searcher, Searcher) else SEARCHERS.build(searcher)
        self.grid = torch.linspace(beta_min, beta_max, candidates, dtype=torch.float64)
        self.scale_free = objective == 'cv'
        self.interval = interval
        self.sample = sample
        self.searches = dict(spatial=0, temporal=0)
        self.on_bound = dict(spatial=0, temporal=0)
        self._seed = (0, 0)
        self._samples = {}
        self._grids = {}

    def __repr__(self):
        space = f'beta in [{self.grid[0]:g}, {self.grid[-1]:g}] x v_threshold'
        return f'{type(self).__name__}({self.surrogate}, {self.searcher}, {space}, interval={self.interval})'

    def begin(self, iteration, micro_batch=0, observe=False, seed=0, progress=0.0):
        super().begin(iteration, micro_batch, observe, seed, progress)
        self.searching = micro_batch == 0 and iteration % self.interval == 0
        self._seed = (seed, iteration)
        self._samples = {}

    @property
    def active(self):
        return self.observing or self.searching

    def choose(self, neuron, gradients):
        if not self.searching:
            return neuron.beta
        T, N = gradients.u.shape
        if neuron.beta.numel() != T:
            neuron.beta = neuron.beta.expand(T).clone()
        # the sample may miss a NaN; `sum` is one pass and no copy to the host
        finite = summed_over_processes(gradients.grad_s.sum(dtype=torch.float32)).isfinite()
        if self.sample is not None and N > self.sample:
            gradients = gradients.sampled(*self._sampled_runs(gradients.u))

        def window(t, gradient):
            if self.spatial if t == T - 1 else self.temporal:
                self._search(neuron, t, gradient, finite)
            elif t < T - 1:
                neuron.beta[t] = neuron.beta[-1]
            return neuron.surrogate(gradient.z, neuron.beta[t].to(gradient.z.dtype))

        gradients.scan(window)
        return neuron.beta

    def _search(self, neuron, t, gradient, finite):
        spatial = gradient.d is None
        shape = self.searched if spatial else self.surrogate
        by_moments = isinstance(shape, PiecewiseLinear) and (shape.non_negative or not spatial)
        objective = (MomentObjective if by_moments else DirectObjective)(
            shape, self._grid_for(neuron, gradient.z.device), gradient, self.scale_free
        )
        index, found = self.searcher(objective, (*self._seed, neuron.order, t))
        found = found & finite
        # an index in brackets would be read by the host
        neuron.beta[t] = torch.where(found, objective.grid.take(index), neuron.beta[t])
        kind = 'spatial' if spatial else 'temporal'
        self.searches[kind] += 1
        self.on_bound[kind] = self.on_bound[kind] + (found & ((index == 0) | (index == len(self.grid) - 1)))

    def _sampled_runs(self, u):
        """Runs of neighbours drawn at random, and their length: whoever reads one element of memory reads these."""
        key = u.shape[1], u.device
        length = min(_RUN, self.sample)
        if key not in self._samples:
            generator = torch.Generator(u.device).manual_seed(hash((*self._seed, u.shape[1])) % 2**63)
            self._samples[key] = torch.randint(
                u.shape[1] // length, (self.sample // length,), generator=generator, device=u.device
            )
        return self._samples[key], length

    def _grid_for(self, neuron, device):
        key = neuron.v_threshold, device
        if key not in self._grids:
            self._grids[key] = (self.grid * neuron.v_threshold).to(device)
        return self._grids[key]


@POLICIES.register_module()
class SASG(AdaptivePolicy):
    """Spatial adaptation alone: every time step uses the window found at the last. See `AdaptivePolicy`."""

    temporal = False


@POLICIES.register_module()
class TASG(AdaptivePolicy):
    """Temporal adaptation alone: the last step's window stands still. See `AdaptivePolicy`."""

    spatial = False


@POLICIES.register_module()
class STASG(AdaptivePolicy):
    """Spatial and temporal adaptation of a symmetric shape. See `AdaptivePolicy`."""


@POLICIES.register_module()
class A2SG(AdaptivePolicy):
    """Spatial and temporal adaptation of the asymmetric shape: the paper's method. See `AdaptivePolicy`."""

    def __init__(self, surrogate=dict(type='ASY'), **kwargs):
        super().__init__(surrogate, **kwargs)
