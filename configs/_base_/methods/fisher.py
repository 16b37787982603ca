# Gradients preconditioned by the diagonal Fisher information; fixed triangle of area 1.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=1.0)))]
method = dict(optim_wrapper=dict(type='FisherOptimWrapper', damping=1e-3))
