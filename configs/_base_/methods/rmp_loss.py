# RMP-Loss: membrane potentials are drawn to 0 and to the threshold, more strongly towards the end of the training.
membrane_loss = dict(type='RMPLoss', p=2, weight=0.1, growth='linear')
