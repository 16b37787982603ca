# ADE20K's recipe as E-SpikeFormer of 10 M is trained by it: only the head learns twice as fast. In float32 there, too.
_base_ = 'ade20k_160k.py'
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(_delete_=True, decode_head=dict(lr_mult=2.0))))
