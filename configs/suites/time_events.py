# Methods on event frames of digits in motion, 8 time steps; a small convolutional network, five seeds. Nothing to
# download. The learning rate is the same for all methods: the steps of AdamW do not depend on the gradient's scale.
name = 'time_events'
networks = dict(csnn=['../_base_/models/csnn_small.py'])
datasets = dict(event_digits=['../_base_/datasets/event_digits.py'])
_policies = ('tri', 'box', 'asy', 'atan', 'sasg', 'tasg', 'stasg', 'a2sg', 'dspike', 'lsg', 'cpng', 'mpd_agl')
methods = {name: name for name in _policies}
methods['im_loss'] = ['im_loss_shape', 'im_loss']
methods.update({name: ['tri', name] for name in ('rmp_loss', 'membrane_kl', 'tet')})
common = ['../_base_/schedules/short_adamw.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2, 3, 4]
reference = 'tri'
timeout = 1800
options = {'optim_wrapper.optimizer.lr': 0.005}
method_options = dict(dspike={'adaptation.policy.interval': 80, 'adaptation.policy.directions': 16})
