# A2SG: spatial and temporal adaptation, asymmetric shape.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='A2SG'))]
