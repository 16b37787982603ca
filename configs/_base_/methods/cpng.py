# CPNG: widths that hold each layer's share of elements with a gradient.
adaptation = dict(
    policy=dict(type='CPNG', surrogate=dict(type='TRI', beta=1.0), target=None, warm_up=100, momentum=0.9)
)
