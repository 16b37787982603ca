# T-ASG: the windows follow the temporal gradient consistency.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='TASG'))]
