# An exponential moving average of the weights, which is what is evaluated. One of a run's _base_ files, or
# --cfg-options ema.momentum=0.0002
# It is updated after each batch. Where a step of the optimiser accumulates the gradients of N batches, divide it by N.
ema = dict(momentum=0.0002)
