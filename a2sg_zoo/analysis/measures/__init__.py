"""Measures of a network: curvature, variation of local gradients, energy, spikes, and the paper's theorems."""
