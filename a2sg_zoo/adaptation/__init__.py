"""Adapting the surrogate while training: observables, objectives, searchers, policies and baselines."""

from .attachment import attach, detach
from .base import Policy, PolicyController
from .baselines import CPNG, LSG, MPDAGL, Dspike, EvolvingTanh
from .foreign import Adapter, adapter
from .layers import Layers
from .objectives import DirectObjective, MomentObjective, Objective
from .observables import coefficient_of_variation, spatial_gradient_variation, temporal_gradient_consistency
from .policies import A2SG, SASG, STASG, TASG, AdaptivePolicy, Fixed
from .searchers import ExactSearcher, Searcher, TPESearcher

__all__ = [
    'Policy',
    'PolicyController',
    'Fixed',
    'AdaptivePolicy',
    'SASG',
    'TASG',
    'STASG',
    'A2SG',
    'attach',
    'detach',
    'Layers',
    'Adapter',
    'adapter',
    'Dspike',
    'LSG',
    'CPNG',
    'MPDAGL',
    'EvolvingTanh',
    'Searcher',
    'ExactSearcher',
    'TPESearcher',
    'Objective',
    'MomentObjective',
    'DirectObjective',
    'spatial_gradient_variation',
    'temporal_gradient_consistency',
    'coefficient_of_variation',
]
