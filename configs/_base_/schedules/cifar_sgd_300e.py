# SGD and a cosine to 0, the usual recipe for ResNets on CIFAR. 300 epochs of 391 batches of 128.
_base_ = 'classification.py'
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)
train_cfg = dict(max_iters=117300, val_interval=1955)
default_hooks = dict(checkpoint=dict(interval=1955))
