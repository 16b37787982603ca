# T-ASG: the windows follow the temporal gradient consistency.
custom_hooks = [
    dict(
        type='AdaptationHook',
        policy=dict(
            type='TASG',
            surrogate=dict(type='TRI', normalize='peak'),
            searcher=dict(type='TPESearcher', trials=16),
            interval=20,
        ),
    )
]
