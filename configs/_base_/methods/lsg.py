# LSG: widths that follow the decays, which are learned.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='LSG', surrogate=dict(type='BOX', beta=1.0), tau=2.0))]
method = dict(neuron=dict(type='PLIF'))
