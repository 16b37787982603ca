# ST-ASG: spatial and temporal adaptation, symmetric shape.
custom_hooks = [
    dict(
        type='AdaptationHook',
        policy=dict(
            type='STASG',
            surrogate=dict(type='TRI', normalize='peak'),
            searcher=dict(type='TPESearcher', trials=16),
            interval=20,
        ),
    )
]
