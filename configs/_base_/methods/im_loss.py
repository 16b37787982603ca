# IM-Loss: membrane potentials drawn to the threshold, and a surrogate that steepens over the training.
custom_hooks = [
    dict(type='AdaptationHook', policy=dict(type='EvolvingTanh', K_min=1.0, K_max=10.0)),
    dict(type='MembraneLoss', loss=dict(type='IMLoss'), weight=0.1),
]
