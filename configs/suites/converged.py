# Every method at convergence: a small network learns few images by heart. The test images are scored at every
# validation, and nothing is chosen by them. One learning rate for all methods, nothing tuned. Needs CIFAR-10 as image
# files, see ../_base_/datasets/cifar10_folder.py.
_base_ = '../_base_/suites/all_methods.py'
name = 'converged'
networks = dict(resnet=['../_base_/models/resnet_small.py'])
datasets = dict(cifar10_few=['../_base_/datasets/cifar10_few.py'], digits_few=['../_base_/datasets/digits_few.py'])
methods = dict(stasg_trust='stasg_trust', a2sg_trust='a2sg_trust')
common = ['../_base_/schedules/few_images.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2, 3, 4]
timeout = 3600

dataset_options = dict(
    cifar10_few={'val_dataloader.dataset.train': False, 'val_dataloader.dataset.per_class': (0, 500)},
    digits_few={
        'val_dataloader.dataset.train': False,
        'val_dataloader.dataset.per_class': None,
        'train_cfg.max_iters': 400,
        'train_cfg.val_interval': 100,
    },
)
_policy = 'adaptation.policy'
_search = {f'{_policy}.searcher': dict(_delete_=True, type='ExactSearcher'), f'{_policy}.interval': 5}
method_options = dict.fromkeys(('sasg', 'tasg', 'stasg', 'a2sg'), _search)
method_options['dspike'] = {f'{_policy}.interval': 200, f'{_policy}.directions': 16}

# Four trials for each method, of full length, judged by training images that no trial trains on.
_bound = _base_.search.method_space.a2sg
search = dict(
    method_space=dict.fromkeys(('tasg', 'stasg_trust', 'a2sg_trust'), _bound),
    options={'val_dataloader.dataset.train': True},
    dataset_options=dict(
        cifar10_few={'val_dataloader.dataset.per_class': (400, 600), 'train_cfg.val_interval': 1200},
        digits_few={'val_dataloader.dataset.per_class': (110, None), 'train_cfg.val_interval': 400},
    ),
)
