# A spiking language model with A2SG: spikegpt/spikegpt_small_text.py with --method a2sg, and the exact searcher. Over 128
# time steps it takes as long as two steps of the training; 16 trials of the Bayesian searcher take as long as 20.
_base_ = ['spikegpt/spikegpt_small_text.py', '_base_/methods/a2sg.py']
adaptation = dict(policy=dict(searcher=dict(_delete_=True, type='ExactSearcher')))
