# N-MNIST in 10 frames of 34x34 pixels. The root may be set by the environment variable NMNIST_ROOT or
# --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/event_digits.py']
data_root = '{{$NMNIST_ROOT:data}}'
num_classes = 10
train_dataloader = dict(
    batch_size=64, num_workers=4, persistent_workers=True, dataset=dict(type='NMNIST', T=10, pipeline=[])
)
val_dataloader = dict(
    batch_size=128, num_workers=2, persistent_workers=True, dataset=dict(type='NMNIST', T=10, train=False)
)
test_dataloader = val_dataloader
