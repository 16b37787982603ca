# Every method of the zoo for a suite, and the same search for each: over the learning rate and one parameter of its own
# (for `tasg` the suite names it). A suite that searches also says which images judge.
_policies = ('tri', 'box', 'asy', 'atan', 'sasg', 'tasg', 'stasg', 'a2sg', 'dspike', 'lsg', 'cpng', 'mpd_agl')
methods = {name: name for name in _policies}
methods['im_loss'] = ['im_loss_shape', 'im_loss']
# losses and optimisers beside the fixed triangle
methods.update({name: ['tri', name] for name in ('rmp_loss', 'membrane_kl', 'tet', 'sam', 'fisher')})
reference = 'tri'

_policy = 'adaptation.policy'
_factor = dict(type='loguniform', low=0.5, high=2.0)
_bound = {f'{_policy}.beta_max': dict(type='uniform', low=0.8, high=3.0)}
search = dict(
    space={'optim_wrapper.optimizer.lr': dict(type='loguniform', low=0.03, high=0.5)},
    method_space={
        **{name: {f'{_policy}.surrogate.beta': _factor} for name in ('tri', 'box', 'asy', 'lsg', 'cpng')},
        **dict.fromkeys(('sasg', 'stasg', 'a2sg'), _bound),
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
)
