# SAM: the gradient is taken where the loss is highest nearby; fixed triangle of area 1.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=1.0)))]
method = dict(optim_wrapper=dict(type='SAMOptimWrapper', rho=0.05))
