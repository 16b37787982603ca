# STBP with a fixed arctangent (PLIF's).
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='ATan', alpha=2.0)))
