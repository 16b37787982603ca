# SGD and a cosine to 0 over 320 epochs of 5,004 batches of 256: 4 devices with batches of 64. From the logs of
# github.com/fangwei123456/Spike-Element-Wise-ResNet (8 devices with batches of 32).
_base_ = 'cifar_sgd_300e.py'
optim_wrapper = dict(optimizer=dict(weight_decay=0.0))
train_cfg = dict(max_iters=1601280, val_interval=5004)
default_hooks = dict(checkpoint=dict(interval=5004))
