# STBP with the asymmetric shape, its window fixed.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='ASY', beta=1.0, h=0.5)))]
