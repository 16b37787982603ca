# STBP with the triangle under its other name: alpha = 1 / beta.
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='PiecewiseQuadratic', alpha=1.0)))
