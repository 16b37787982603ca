# IM-Loss: membrane potentials are drawn to the threshold. Its paper has a shape of its own beside it, im_loss_shape.
membrane_loss = dict(type='IMLoss', weight=0.1)
