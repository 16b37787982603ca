# MPD-AGL: widths that follow the spread of the membrane potentials, by layer and time step.
adaptation = dict(policy=dict(type='MPDAGL', surrogate=dict(type='BOX'), scale=1.0))
