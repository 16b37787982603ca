# S-ASG: the width follows the spatial gradient variation.
adaptation = dict(
    policy=dict(
        type='SASG',
        surrogate=dict(type='TRI', normalize='peak'),
        searcher=dict(type='TPESearcher', trials=16),
        interval=20,
    )
)
