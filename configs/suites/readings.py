# What the paper leaves open, at convergence: readings of ST-ASG first, then of A2SG. Two networks learn few images by
# heart. All runs are judged by training images that no run trains on. Needs CIFAR-10 as image files, see
# ../_base_/datasets/cifar10_folder.py.
name = 'readings'
networks = dict(resnet=['../_base_/models/resnet_small.py'], spikformer=['../_base_/models/spikformer_1_64.py'])
datasets = dict(cifar10_few=['../_base_/datasets/cifar10_few.py'], digits_few=['../_base_/datasets/digits_few.py'])
_of_stasg = (
    'every',
    'rarely',
    'area',
    'narrow',
    'middle',
    'floor',
    'gain',
    'norm',
    'own',
    'memory',
    'trust',
    'together',
)
_of_a2sg = ('floor', 'middle', 'gain', 'norm', 'own', 'memory', 'trust', 'h_1', 'together')
methods = dict(
    **{name: name for name in ('tri', 'box', 'asy', 'atan', 'sasg', 'tasg', 'stasg', 'a2sg')},
    **{f'st_{name}': 'stasg' for name in _of_stasg},
    **{f'a2_{name}': 'a2sg' for name in _of_a2sg},
)
common = ['../_base_/schedules/few_images.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2, 3, 4]
reference = 'tri'
timeout = 3600

# the transformer learns the CIFAR-10 images in twice the passes of the residual network; digits have their own number
_adamw = dict(_delete_=True, type='AdamW', lr=3e-3, weight_decay=0.05)
_longer = {'train_cfg.max_iters': 2400, 'train_cfg.val_interval': 400}
network_options = dict(spikformer={'optim_wrapper.optimizer': _adamw, **_longer})
dataset_options = dict(digits_few={'train_cfg.max_iters': 400, 'train_cfg.val_interval': 100})

_policy = 'adaptation.policy'
_search = {f'{_policy}.searcher': dict(_delete_=True, type='ExactSearcher'), f'{_policy}.interval': 5}
_readings = dict(
    every={f'{_policy}.interval': 1},
    rarely={f'{_policy}.interval': 20},
    area={f'{_policy}.surrogate.normalize': 'area'},
    narrow={f'{_policy}.beta_max': 1.0},
    middle={f'{_policy}.beta_min': 0.5, f'{_policy}.beta_max': 1.5},
    floor={f'{_policy}.beta_min': 0.5},
    gain={f'{_policy}.gain': 'area'},
    norm={f'{_policy}.gain': 'norm'},
    own={f'{_policy}.temporal_part': 'own'},
    memory={f'{_policy}.memory': 0.9},
    trust={f'{_policy}.trust': 1.2},
    h_1={f'{_policy}.surrogate.h': 1.0},
    together={f'{_policy}.temporal_part': 'own', f'{_policy}.memory': 0.9, f'{_policy}.gain': 'area'},
)
method_options = dict(
    **dict.fromkeys(('sasg', 'tasg', 'stasg', 'a2sg'), _search),
    **{f'st_{name}': {**_search, **_readings[name]} for name in _of_stasg},
    **{f'a2_{name}': {**_search, **_readings[name]} for name in _of_a2sg},
)
