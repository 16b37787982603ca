# STBP with the asymmetric shape of a fixed width.
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='ASY', beta=1.0, h=0.5)))
