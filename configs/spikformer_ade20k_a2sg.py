# Spikformer on ADE20K with A2SG: the same as spikformer/spikformer_ade20k.py with --method a2sg
_base_ = ['spikformer/spikformer_ade20k.py', '_base_/methods/a2sg.py']
