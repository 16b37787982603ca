# Spiking Heidelberg Digits: 100 time steps of 14 ms, 140 channels, each the counts of 5 of the 700. The root may be
# set by the environment variable SHD_ROOT or --cfg-options data_root=PATH.
_base_ = ['classification.py', '../demo/spoken_digits.py']
data_root = '{{$SHD_ROOT:data}}'
num_classes = 20
train_dataloader = dict(batch_size=128, num_workers=2, persistent_workers=True, dataset=dict(type='SHD', T=100, pool=5))
val_dataloader = dict(
    batch_size=128, num_workers=2, persistent_workers=True, dataset=dict(type='SHD', T=100, pool=5, train=False)
)
test_dataloader = val_dataloader

# words of the size of these samples, so that the network stays as it is
_demo = dict(dataset=dict(T=100, channels=140))
demo = dict(train_dataloader=_demo, val_dataloader=_demo, test_dataloader=_demo)
