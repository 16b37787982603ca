# A spiking language model of 0.46 M parameters over bytes: what minutes of a CPU core can train.
model = dict(
    type='LanguageModel',
    backbone=dict(type='SpikeGPT', embed_dims=128, depth=2, num_heads=8, T=128),
    head=dict(type='LanguageHead', in_channels=128),
)
