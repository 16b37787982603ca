"""Feature pyramids without spikes, on features averaged over time. The spiking one is `segmentors.SpikingFPN`."""

from .feature_pyramid import FeaturePyramid

__all__ = ['FeaturePyramid']
