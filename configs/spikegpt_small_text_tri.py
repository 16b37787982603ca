# A spiking language model with a fixed triangle: spikegpt/spikegpt_small_text.py with --method tri.
_base_ = ['spikegpt/spikegpt_small_text.py', '_base_/methods/tri.py']
