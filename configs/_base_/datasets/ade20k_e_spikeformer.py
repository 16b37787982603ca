# ADE20K as E-SpikeFormer of 10 M is trained on it: batches of 16.
_base_ = 'ade20k.py'
train_dataloader = dict(batch_size=16)
