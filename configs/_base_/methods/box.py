# STBP with a fixed rectangle of area 1.
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='BOX', beta=1.0)))
