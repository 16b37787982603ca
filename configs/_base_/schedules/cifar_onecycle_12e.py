# Nesterov SGD with a rate that rises over a quarter of the training and falls to 0 in a straight line: 12 passes over
# 50,000 images, 195 batches of 256 a pass, in bfloat16 where the processor has it.
_base_ = 'classification.py'
optim_wrapper = dict(
    type='AutoPrecisionOptimWrapper', optimizer=dict(type='SGD', lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=585),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=585),
]
train_cfg = dict(max_iters=2340, val_interval=390)
default_hooks = dict(checkpoint=dict(interval=195))
