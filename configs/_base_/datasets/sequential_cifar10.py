# CIFAR-10 column by column: 32 time steps of 96 numbers, normalised, with flips. The root may be set by the environment
# variable CIFAR_ROOT or --cfg-options data_root=PATH. For pixels, set by='pixel' in both pipelines: 1,024 time steps of
# 3 numbers.
_base_ = ['classification.py', '../demo/digit_sequences.py']
data_root = '{{$CIFAR_ROOT:data/cifar}}'
num_classes = 10
_to_sequence = dict(type='ToSequence', by='column', mean=[125.31, 122.95, 113.87], std=[62.99, 62.09, 66.7])
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type='CIFAR', pipeline=[dict(type='BatchCrop', padding=4), dict(type='BatchFlip'), _to_sequence]),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type='CIFAR', train=False, pipeline=[_to_sequence]),
)
test_dataloader = val_dataloader

# The digits with three channels and 32 columns, so that the network stays as it is.
_demo_sequence = [dict(type='ToSequence', by='column')]
_demo = dict(type='Digits', size=32, pipeline=_demo_sequence)
_demo_evaluation = dict(dataset=dict(**_demo, train=False))
demo = dict(
    model=dict(backbone=dict(T=32)),
    train_dataloader=dict(dataset=_demo),
    val_dataloader=_demo_evaluation,
    test_dataloader=_demo_evaluation,
)
