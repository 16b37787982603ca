# The shape of IM-Loss: a tanh that steepens from K_min to K_max over the training. Its paper has both,
# --method im_loss_shape --method im_loss.
adaptation = dict(policy=dict(type='EvolvingTanh', K_min=1.0, K_max=10.0))
