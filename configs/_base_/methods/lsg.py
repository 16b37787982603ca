# LSG: widths that follow the decays, which are learned.
adaptation = dict(policy=dict(type='LSG', surrogate=dict(type='BOX', beta=1.0)))
neuron = dict(type='PLIF')
