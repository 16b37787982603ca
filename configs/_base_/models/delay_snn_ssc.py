# DCLS-Delays for Spiking Speech Commands in 100 time steps of 10 ms: three layers of 512 neurons, delays to 300 ms.
_base_ = 'delay_snn_shd.py'
model = dict(
    backbone=dict(widths=(512, 512, 512), max_delay=31, dropout=0.25, T=100, neuron=dict(tau=1.5)),
    head=dict(in_channels=512, tau=1.5, max_delay=31),
)
