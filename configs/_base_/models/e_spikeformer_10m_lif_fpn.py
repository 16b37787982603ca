# E-SpikeFormer with binary neurons and 4 time steps: integer neurons have no surrogate whose window could adapt.
_base_ = 'e_spikeformer_10m_fpn.py'
model = dict(backbone=dict(T=4, neuron=dict(_delete_=True, type='LIF', tau=2.0)))
