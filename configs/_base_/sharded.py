# Weights, gradients and optimiser state divided among the processes of a run (FSDP). One of a run's _base_ files, or
# --cfg-options default_hooks.sharding.type=ShardingHook
default_hooks = dict(sharding=dict(type='ShardingHook'))
