# A Spikformer of one block (0.1 M), for small images and two CPU cores. As in resnet_small.py, neurons stop the
# gradient through the reset.
model = dict(
    type='SpikingClassifier',
    backbone=dict(
        type='Spikformer',
        form='cifar',
        embed_dims=64,
        depth=1,
        num_heads=4,
        T=4,
        neuron=dict(type='LIF', tau=2.0, decay_input=True, detach_reset=True),
        time='keep',
    ),
    head=dict(type='LinearHead', in_channels=64, loss=dict(type='MeanCrossEntropy')),
)
channels_last = True
