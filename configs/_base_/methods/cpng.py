# CPNG: widths that hold each layer's share of elements with a gradient.
custom_hooks = [
    dict(
        type='AdaptationHook',
        policy=dict(type='CPNG', surrogate=dict(type='TRI', beta=1.0), target=None, warm_up=100, momentum=0.9),
    )
]
