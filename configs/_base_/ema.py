# An exponential moving average of the weights, which is what is evaluated. One of a run's _base_ files, or
# --cfg-options ema.momentum=0.0002
ema = dict(momentum=0.0002)
