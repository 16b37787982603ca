"""Adapting the surrogate's window while training: observables, moments, searchers, policies and the hook."""

from .hook import AdaptationHook
from .objectives import DirectObjective, MomentObjective, Objective
from .observables import coefficient_of_variation, spatial_gradient_variation, temporal_gradient_consistency
from .policies import A2SG, SASG, STASG, TASG, AdaptivePolicy, Fixed, Policy, attach
from .searchers import ExactSearcher, Searcher, TPESearcher

__all__ = [
    'AdaptationHook', 'Policy', 'Fixed', 'AdaptivePolicy', 'SASG', 'TASG', 'STASG', 'A2SG', 'attach',
    'Searcher', 'ExactSearcher', 'TPESearcher', 'Objective', 'MomentObjective', 'DirectObjective',
    'spatial_gradient_variation', 'temporal_gradient_consistency', 'coefficient_of_variation'
]
