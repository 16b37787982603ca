# STBP with a fixed triangle of area 1.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=1.0)))]
