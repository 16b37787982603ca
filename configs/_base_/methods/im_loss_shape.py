# IM-Loss's evolving shape, without its loss: a tanh that steepens from K_min to K_max over the training.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='EvolvingTanh', K_min=1.0, K_max=10.0))]
