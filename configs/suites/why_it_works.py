# What docs/why_it_works.md is made of: the methods that the paper's argument compares, at convergence. Small networks
# learn few images by heart, with one learning rate and schedule for all, since sharpness depends on both. ST-ASG and
# A2SG search exactly, in every fifth step. The test images are scored once, after the last step. Needs CIFAR-10 as
# image files, see ../_base_/datasets/cifar10_folder.py.
name = 'why_it_works'
networks = dict(resnet=['../_base_/models/resnet_small.py'])
datasets = dict(cifar10_few=['../_base_/datasets/cifar10_few.py'], digits_few=['../_base_/datasets/digits_few.py'])
methods = ['tri', 'box', 'asy', 'stasg', 'a2sg']
common = ['../_base_/schedules/few_images.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2]
reference = 'tri'
timeout = 3600
options = {
    'adaptation.log_interval': 10,
    'train_cfg.val_interval': 1200,
    'val_dataloader.dataset.train': False,
    'val_dataloader.dataset.per_class': (0, 500),
}
dataset_options = dict(
    digits_few={
        'train_cfg.max_iters': 400,
        'train_cfg.val_interval': 400,
        'default_hooks.checkpoint.interval': 400,
        'val_dataloader.dataset.per_class': None,
    }
)
_search = {'adaptation.policy.interval': 5, 'adaptation.policy.searcher': dict(_delete_=True, type='ExactSearcher')}
method_options = dict(stasg=_search, a2sg=_search)
