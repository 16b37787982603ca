# SAM: the gradient is taken where the loss is highest nearby.
optim_method = dict(type='SAMOptimWrapper', rho=0.05)
