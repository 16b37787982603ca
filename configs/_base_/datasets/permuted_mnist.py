# MNIST pixel by pixel in a fixed random order: 784 time steps. The root may be set by the environment variable
# MNIST_ROOT or --cfg-options data_root=PATH.
_base_ = 'sequential_mnist.py'
_pipeline = [dict(type='ToSequence', permuted=True)]
train_dataloader = dict(dataset=dict(pipeline=_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_pipeline))
test_dataloader = val_dataloader
demo = dict(
    train_dataloader=dict(dataset=dict(permuted=True)),
    val_dataloader=dict(dataset=dict(permuted=True)),
    test_dataloader=dict(dataset=dict(permuted=True)),
)
