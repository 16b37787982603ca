# STBP with a fixed Gaussian.
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='Gaussian', sigma=0.5)))
