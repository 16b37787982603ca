# S-ASG: the window follows the spatial gradient variation.
custom_hooks = [
    dict(
        type='AdaptationHook',
        policy=dict(
            type='SASG',
            surrogate=dict(type='TRI', normalize='peak'),
            searcher=dict(type='TPESearcher', trials=16),
            interval=20,
        ),
    )
]
