# ST-ASG: spatial and temporal adaptation, symmetric shape.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='STASG'))]
