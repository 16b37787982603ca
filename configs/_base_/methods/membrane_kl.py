# Membrane potentials are drawn to a normal distribution about the threshold.
membrane_loss = dict(type='MembraneKL', mean=1.0, std=1.0, weight=0.01)
