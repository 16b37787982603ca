# CIFAR-10 as QKFormer is trained on it: batches of 64.
_base_ = 'cifar10_randaugment.py'
train_dataloader = dict(batch_size=64)
