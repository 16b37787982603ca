# STBP with the derivative of a fixed sigmoid.
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='Sigmoid', alpha=4.0)))
