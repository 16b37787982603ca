# scikit-learn's digits, 8x8, one pixel a time step in a fixed random order: 64 steps. Nothing to download.
_base_ = 'digit_sequences.py'
train_dataloader = dict(dataset=dict(permuted=True))
val_dataloader = dict(dataset=dict(permuted=True))
test_dataloader = val_dataloader
