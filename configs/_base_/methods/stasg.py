# ST-ASG: spatial and temporal adaptation, symmetric shape.
adaptation = dict(
    policy=dict(
        type='STASG',
        surrogate=dict(type='TRI', normalize='peak'),
        searcher=dict(type='TPESearcher', trials=16),
        interval=20,
    )
)
