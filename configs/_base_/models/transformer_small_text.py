# A plain transformer without spikes, with about as many parameters as spikegpt_small.
model = dict(
    type='LanguageModel',
    backbone=dict(type='TextTransformer', embed_dims=128, depth=2, num_heads=8, T=128),
    head=dict(type='LanguageHead', in_channels=128),
)
