# A GRU without spikes, with about as many parameters as spikegpt_small.
model = dict(
    type='LanguageModel',
    backbone=dict(type='TextGRU', embed_dims=128, hidden=184, depth=2, T=128),
    head=dict(type='LanguageHead', in_channels=184),
)
