# scikit-learn's digits, 8x8, one row a time step: 8 steps of 8 numbers in [0, 1]. Nothing to download.
_base_ = 'digit_sequences.py'
train_dataloader = dict(dataset=dict(by='row'))
val_dataloader = dict(dataset=dict(by='row'))
test_dataloader = val_dataloader
