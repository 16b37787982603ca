# SGD and a cosine to 0, the usual recipe for ResNets on CIFAR. 300 epochs of 391 batches of 128. These values and the
# augmentation are those of ASGL's published code for ResNet-18 on CIFAR-100 (github.com/Windere/ASGL-SNN). Not as
# there: 4 time steps in place of 2, label smoothing of 0.1 in place of none, and weight decay of batch norms and
# biases, too. The decay of the potential is fixed, not learned. Cutout fills with the mean colour, not with black.
_base_ = 'classification.py'
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4))
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=False, begin=0)
train_cfg = dict(max_iters=117300, val_interval=1955)
default_hooks = dict(checkpoint=dict(interval=1955))
