# TET: every time step is to be right by itself; fixed triangle of area 1. For classification.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=1.0)))]
method = dict(model=dict(head=dict(loss=dict(type='TET', regularization=0.05))))
