"""What is measured on a network: curvature, variation of local gradients, energy, activity, theory."""
