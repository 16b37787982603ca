# A spiking language model with A2SG: spikegpt/spikegpt_small_text.py with --method a2sg. A search over 128 time steps
# costs as much as about 20 steps of the training, so it is done in every 50th step.
_base_ = ['spikegpt/spikegpt_small_text.py', '_base_/methods/a2sg.py']
adaptation = dict(policy=dict(interval=50))
