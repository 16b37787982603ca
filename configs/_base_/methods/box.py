# STBP with a fixed rectangle of area 1.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='BOX', beta=1.0)))]
