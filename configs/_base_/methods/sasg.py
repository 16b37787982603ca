# S-ASG: the window follows the spatial gradient variation.
custom_hooks = [dict(type='AdaptationHook', policy=dict(type='SASG'))]
