# MNIST pixel by pixel: 784 time steps of one number in [0, 1]. The root may be set by the environment variable
# MNIST_ROOT or --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/digit_sequences.py']
data_root = '{{$MNIST_ROOT:data}}'
num_classes = 10
_pipeline = [dict(type='ToSequence')]
train_dataloader = dict(
    batch_size=128, num_workers=2, persistent_workers=True, dataset=dict(type='MNIST', pipeline=_pipeline)
)
val_dataloader = dict(
    batch_size=256, num_workers=2, persistent_workers=True, dataset=dict(type='MNIST', train=False, pipeline=_pipeline)
)
test_dataloader = val_dataloader
