# STBP with the derivative of a fixed fast sigmoid (SuperSpike).
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='FastSigmoid', k=25.0)))]
