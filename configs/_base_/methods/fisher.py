# Gradients are preconditioned by the diagonal of the Fisher information.
optim_method = dict(type='FisherOptimWrapper', damping=1e-3)
