# STBP with a fixed triangle of area 1.
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='TRI', beta=1.0)))
