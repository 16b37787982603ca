# T-ASG: the widths follow the temporal gradient consistency.
adaptation = dict(
    policy=dict(
        type='TASG',
        surrogate=dict(type='TRI', normalize='peak'),
        searcher=dict(type='TPESearcher', trials=16),
        interval=20,
    )
)
