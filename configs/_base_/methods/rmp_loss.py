# RMP-Loss: membrane potentials drawn to 0 and to the threshold, ever more over the training; fixed triangle of area 1.
custom_hooks = [
    dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=1.0))),
    dict(type='MembraneLoss', loss=dict(type='RMPLoss', p=2), weight=0.1, growth='linear'),
]
