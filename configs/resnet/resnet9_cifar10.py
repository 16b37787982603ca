# A recipe of this project, after those for networks without spikes of D. Page and K. Jordan. The first 11 of 12 passes
# train with one time step, which costs half as much as two. Batches of 256 are those of two processes with 128 each:
#     OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 tools/train.py configs/resnet/resnet9_cifar10.py --launcher pytorch
# One process needs --cfg-options train_dataloader.batch_size=256.
_base_ = [
    '../_base_/models/resnet9_cifar.py',
    '../_base_/datasets/cifar10_folder_fast.py',
    '../_base_/schedules/cifar_onecycle_12e.py',
    '../_base_/default_runtime.py',
]
custom_hooks = [dict(type='WhitenStem'), dict(type='GrowTimeSteps', schedule=[(0, 1), (2145, 2)])]
