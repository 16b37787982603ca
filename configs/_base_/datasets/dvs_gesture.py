# DVS128 Gesture in 16 frames of all pixels. The root may be set by the environment variable DVSGESTURE_ROOT or
# --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/event_digits.py']
data_root = '{{$DVSGESTURE_ROOT:data}}'
num_classes = 11
train_dataloader = dict(
    batch_size=16, num_workers=4, persistent_workers=True, dataset=dict(type='DVSGesture', T=16, pipeline=[])
)
val_dataloader = dict(
    batch_size=16, num_workers=2, persistent_workers=True, dataset=dict(type='DVSGesture', T=16, train=False)
)
test_dataloader = val_dataloader
