# Every method on a small residual network, on digits and on a part of CIFAR-10, five seeds each: within 45 minutes on
# two CPU cores. Needs CIFAR-10 as image files, see ../_base_/datasets/cifar10_folder.py.
_base_ = '../_base_/suites/all_methods.py'
name = 'small_cpu'
networks = dict(resnet=['../_base_/models/resnet_small.py'])
datasets = dict(digits=['../_base_/datasets/digits.py'], cifar10_subset=['../_base_/datasets/cifar10_subset.py'])
# A2SG's choices: the exact search more often; and that with the surrogate at unit area
methods = dict(a2sg_exact='a2sg', a2sg_area='a2sg')
common = ['../_base_/schedules/short_sgd.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2, 3, 4]
timeout = 900
tuned = 'small_cpu.tuned.json'

_policy = 'adaptation.policy'
_exact = {f'{_policy}.searcher': dict(_delete_=True, type='ExactSearcher'), f'{_policy}.interval': 4}
method_options = dict(
    a2sg_exact=_exact,
    a2sg_area={**_exact, f'{_policy}.gain': 'area'},
    dspike={f'{_policy}.interval': 80, f'{_policy}.directions': 16},
)

# Four trials for each method, of nearly the full length, judged by training images that no trial trains on. The file of
# `tuned` is what they found: a2sg-zoo search configs/suites/small_cpu.py --trials 4
_bound = _base_.search.method_space.a2sg
search = dict(
    method_space=dict(
        tasg={f'{_policy}.surrogate.beta': dict(type='loguniform', low=0.5, high=2.0)},
        a2sg_exact=_bound,
        a2sg_area=_bound,
    ),
    options={'train_cfg.max_iters': 160, 'train_cfg.val_interval': 160, 'val_dataloader.dataset.train': True},
    dataset_options=dict(
        digits={'train_dataloader.dataset.per_class': (0, 110), 'val_dataloader.dataset.per_class': (110, None)},
        cifar10_subset={'val_dataloader.dataset.per_class': (500, 600)},
    ),
)
