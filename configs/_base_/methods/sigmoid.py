# STBP with the derivative of a fixed sigmoid.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='Sigmoid', alpha=4.0)))]
