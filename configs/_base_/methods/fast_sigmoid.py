# STBP with the derivative of a fixed fast sigmoid (SuperSpike).
adaptation = dict(policy=dict(type='Fixed', surrogate=dict(type='FastSigmoid', k=25.0)))
