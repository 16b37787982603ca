# The schedule of camvid_adamw_2k.py over 3,000 batches; the first 2,400 train with one time step.
_base_ = 'camvid_adamw_2k.py'
train_cfg = dict(max_iters=3000, val_interval=600)
default_hooks = dict(checkpoint=dict(interval=300))
custom_hooks = [dict(type='GrowTimeSteps', schedule=[(0, 1), (2400, 2)])]
