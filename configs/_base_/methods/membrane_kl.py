# Membrane potentials drawn to a normal distribution about the threshold; fixed triangle of area 1.
custom_hooks = [
    dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=1.0))),
    dict(type='MembraneLoss', loss=dict(type='MembraneKL', mean=1.0, std=1.0), weight=0.01),
]
