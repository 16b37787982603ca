# Dspike: a temperature chosen by finite differences. An epoch of CIFAR in batches of 128 has 391 steps.
adaptation = dict(policy=dict(type='Dspike', b=3.0, step=0.2, interval=391, eps=0.3, directions=64))
