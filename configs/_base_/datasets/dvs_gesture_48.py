# DVS128 Gesture in 16 frames, reduced to 48x48 pixels, with samples rolled by up to 5 pixels. No mirror: it would make
# a right hand of a left one.
_base_ = 'dvs_gesture.py'
train_dataloader = dict(
    dataset=dict(size=48, pipeline=[dict(type='BatchEventAugment', operations=['roll'], flip=0.0, roll=5)])
)
val_dataloader = dict(dataset=dict(size=48))
test_dataloader = val_dataloader
