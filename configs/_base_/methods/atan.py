# STBP with a fixed arctangent (PLIF's).
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='Fixed', surrogate=dict(type='ATan', alpha=2.0)))]
