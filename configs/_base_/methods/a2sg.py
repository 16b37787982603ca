# A2SG: spatial and temporal adaptation, asymmetric shape. The paper searches in every step (interval=1).
adaptation = dict(
    policy=dict(type='A2SG', surrogate=dict(type='ASY'), searcher=dict(type='TPESearcher', trials=16), interval=20)
)
