# What the paper leaves open in A2SG, one choice at a time, on a part of CIFAR-10; and the same comparison under AdamW,
# whose steps do not depend on the scale of the gradient. Judged by training images that no run trains on.
name = 'a2sg_choices'
networks = dict(resnet=['../_base_/models/resnet_small.py'])
datasets = dict(cifar10_subset=['../_base_/datasets/cifar10_subset.py'])
_choices = ('tpe_20', 'exact_1', 'narrow', 'wide', 'floor', 'cv', 'h_06', 'h_1', 'area', 'area_narrow')
methods = dict(tri='tri', asy='asy', **dict.fromkeys(_choices, 'a2sg'))
methods.update(tri_adamw='tri', asy_adamw='asy', a2sg_adamw='a2sg', area_adamw='a2sg')
common = ['../_base_/schedules/short_sgd.py', '../_base_/default_runtime.py']
seeds = [0, 1]
reference = 'tri'
timeout = 900
options = {'val_dataloader.dataset.train': True, 'val_dataloader.dataset.per_class': (500, 700)}

_policy = 'adaptation.policy'
_exact = {f'{_policy}.searcher': dict(_delete_=True, type='ExactSearcher'), f'{_policy}.interval': 4}
_adamw = {'optim_wrapper.optimizer': dict(_delete_=True, type='AdamW', lr=3e-3, weight_decay=0.05)}
method_options = dict(
    exact_1={**_exact, f'{_policy}.interval': 1},
    narrow={**_exact, f'{_policy}.beta_max': 1.0},
    floor={**_exact, f'{_policy}.beta_min': 0.7},
    wide={**_exact, f'{_policy}.beta_max': 4.0},
    cv={**_exact, f'{_policy}.objective': 'cv'},
    h_06={**_exact, f'{_policy}.surrogate.h': 0.6},
    h_1={**_exact, f'{_policy}.surrogate.h': 1.0},
    area={**_exact, f'{_policy}.gain': 'area'},
    area_narrow={**_exact, f'{_policy}.gain': 'area', f'{_policy}.beta_max': 1.0},
    tri_adamw=_adamw,
    asy_adamw=_adamw,
    a2sg_adamw={**_exact, **_adamw},
    area_adamw={**_exact, **_adamw, f'{_policy}.gain': 'area'},
)
