# Spiking Speech Commands: 100 time steps of 10 ms, 140 channels, each the counts of 5 of the 700. The root may be
# set by the environment variable SSC_ROOT or --cfg-options data_root=PATH.
_base_ = 'shd.py'
data_root = '{{$SSC_ROOT:data}}'
num_classes = 35
_data = dict(_delete_=True, type='SSC', T=100, pool=5)
train_dataloader = dict(dataset=_data)
val_dataloader = dict(dataset=dict(**_data, split='valid'))
test_dataloader = dict(dataset=dict(**_data, split='test'))
