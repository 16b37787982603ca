# Weights, gradients and the state of the optimiser are divided among the processes of a run (FSDP). One of a run's
# _base_ files, or --cfg-options sharding=True
sharding = dict()
