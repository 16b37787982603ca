# CIFAR10-DVS in 10 frames, resized to 64x64 pixels, as the Spike-driven Transformer is trained on it: no augmentation.
_base_ = 'cifar10_dvs.py'
train_dataloader = dict(batch_size=32, dataset=dict(size=64, pipeline=[]))
val_dataloader = dict(batch_size=32, dataset=dict(size=64))
test_dataloader = val_dataloader
