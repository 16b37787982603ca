"""Adapting the surrogate's window while training: observables, moments, searchers, policies, rivals and the hook."""

from .hook import AdaptationHook
from .objectives import DirectObjective, MomentObjective, Objective
from .observables import coefficient_of_variation, spatial_gradient_variation, temporal_gradient_consistency
from .policies import A2SG, SASG, STASG, TASG, AdaptivePolicy, Fixed, Policy, attach
from .rivals import CPNG, LSG, MPDAGL, Dspike, EvolvingTanh
from .searchers import ExactSearcher, Searcher, TPESearcher

__all__ = [
    'AdaptationHook', 'Policy', 'Fixed', 'AdaptivePolicy', 'SASG', 'TASG', 'STASG', 'A2SG', 'attach',
    'Dspike', 'LSG', 'CPNG', 'MPDAGL', 'EvolvingTanh',
    'Searcher', 'ExactSearcher', 'TPESearcher', 'Objective', 'MomentObjective', 'DirectObjective',
    'spatial_gradient_variation', 'temporal_gradient_consistency', 'coefficient_of_variation'
]
