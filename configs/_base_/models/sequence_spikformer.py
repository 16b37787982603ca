# SequenceSpikformer-2-128 (0.5 M), causal: every time step is a token. in_features and T are those of the data set.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='SequenceSpikformer', in_features=1, embed_dims=128, depth=2, num_heads=8, causal=True, T=784, time='keep'
    ),
    head=dict(type='LinearHead', in_channels=128, loss=dict(type='MeanCrossEntropy')),
)
