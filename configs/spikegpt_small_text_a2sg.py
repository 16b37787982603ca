# A spiking language model with A2SG: spikegpt/spikegpt_small_text.py with --method a2sg, and the exact searcher. Its
# search over 128 time steps takes as long as two steps of the training; that of 16 Bayesian trials as long as 20.
_base_ = ['spikegpt/spikegpt_small_text.py', '_base_/methods/a2sg.py']
adaptation = dict(policy=dict(searcher=dict(_delete_=True, type='ExactSearcher')))
