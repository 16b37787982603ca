# TET: each time step is trained to be right by itself. For classification.
loss = dict(type='TET', regularization=0.05)
