"""A training run on MMEngine: configs, the run itself, samplers, hooks, optimizers and metrics."""
