# Every method on a small residual network, on digits and on a part of CIFAR-10, five seeds each: within 45 minutes on
# two CPU cores. Needs CIFAR-10 as image files, see ../_base_/datasets/cifar10_folder.py.
name = 'small_cpu'
networks = dict(resnet=['../_base_/models/resnet_small.py'])
datasets = dict(digits=['../_base_/datasets/digits.py'], cifar10_subset=['../_base_/datasets/cifar10_subset.py'])
_policies = ('tri', 'box', 'asy', 'atan', 'sasg', 'tasg', 'stasg', 'a2sg', 'dspike', 'lsg', 'cpng', 'mpd_agl')
methods = {name: name for name in _policies}
methods['im_loss'] = ['im_loss_shape', 'im_loss']
# losses and optimisers beside the fixed triangle
methods.update({name: ['tri', name] for name in ('rmp_loss', 'membrane_kl', 'tet', 'sam', 'fisher')})
# A2SG's choices: the exact search more often; and that with the surrogate at unit area
methods.update(a2sg_exact='a2sg', a2sg_area='a2sg')
common = ['../_base_/schedules/short_sgd.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2, 3, 4]
reference = 'tri'
timeout = 900
tuned = 'small_cpu.tuned.json'

_policy = 'adaptation.policy'
_exact = {f'{_policy}.searcher': dict(_delete_=True, type='ExactSearcher'), f'{_policy}.interval': 4}
method_options = dict(
    a2sg_exact=_exact,
    a2sg_area={**_exact, f'{_policy}.gain': 'area'},
    dspike={f'{_policy}.interval': 80, f'{_policy}.directions': 16},
)

# The same search for each method: four trials over the learning rate and one parameter of its own, of nearly the full
# length, judged by training images that no trial trains on. The file of `tuned` is what it found:
# python tools/search.py configs/suites/small_cpu.py --trials 4
_factor = dict(type='loguniform', low=0.5, high=2.0)
_bound = {f'{_policy}.beta_max': dict(type='uniform', low=0.8, high=3.0)}
search = dict(
    space={'optim_wrapper.optimizer.lr': dict(type='loguniform', low=0.03, high=0.5)},
    method_space={
        **{name: {f'{_policy}.surrogate.beta': _factor} for name in ('tri', 'box', 'asy', 'tasg', 'lsg', 'cpng')},
        **dict.fromkeys(('sasg', 'stasg', 'a2sg', 'a2sg_exact', 'a2sg_area'), _bound),
        'atan': {f'{_policy}.surrogate.alpha': dict(type='loguniform', low=1.0, high=4.0)},
        'dspike': {f'{_policy}.b': dict(type='uniform', low=1.0, high=5.0)},
        'mpd_agl': {f'{_policy}.scale': _factor},
        'im_loss': {'membrane_loss.weight': dict(type='loguniform', low=0.01, high=1.0)},
        'rmp_loss': {'membrane_loss.weight': dict(type='loguniform', low=0.01, high=1.0)},
        'membrane_kl': {'membrane_loss.weight': dict(type='loguniform', low=0.001, high=0.1)},
        'tet': {'loss.regularization': dict(type='loguniform', low=0.001, high=0.1)},
        'sam': {'optim_method.rho': dict(type='loguniform', low=0.01, high=0.2)},
        'fisher': {'optim_method.damping': dict(type='loguniform', low=1e-5, high=1e-2)},
    },
    options={'train_cfg.max_iters': 160, 'train_cfg.val_interval': 160, 'val_dataloader.dataset.train': True},
    dataset_options=dict(
        digits={'train_dataloader.dataset.per_class': (0, 110), 'val_dataloader.dataset.per_class': (110, None)},
        cifar10_subset={'val_dataloader.dataset.per_class': (500, 600)},
    ),
)
