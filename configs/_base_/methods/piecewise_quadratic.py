# STBP with the triangle under its other name: alpha = 1 / beta.
custom_hooks = [
    dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='PiecewiseQuadratic', alpha=1.0)))
]
