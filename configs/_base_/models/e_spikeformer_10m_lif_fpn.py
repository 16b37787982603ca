# E-SpikeFormer with binary neurons and 4 time steps: integer neurons have no surrogate to adapt.
_base_ = 'e_spikeformer_10m_fpn.py'
model = dict(backbone=dict(T=4, neuron=dict(type='LIF', tau=2.0)))
