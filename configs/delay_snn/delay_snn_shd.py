# best_config_SHD.py of github.com/Thvnvtos/SNN-delays (Hammouamri et al., ICLR 2024): batches of 256, steps of 10 ms.
_base_ = [
    '../_base_/models/delay_snn_shd.py',
    '../_base_/datasets/shd.py',
    '../_base_/schedules/delay_snn_shd_150e.py',
    '../_base_/default_runtime.py',
]
train_dataloader = dict(batch_size=256, dataset=dict(T=140))
val_dataloader = dict(dataset=dict(T=140))
test_dataloader = dict(dataset=dict(T=140))
_demo = dict(dataset=dict(T=140))
demo = dict(train_dataloader=_demo, val_dataloader=_demo, test_dataloader=_demo)
