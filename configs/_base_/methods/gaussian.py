# STBP with a fixed Gaussian.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='Gaussian', sigma=0.5)))]
