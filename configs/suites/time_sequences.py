# Methods on data whose time carries the information: digits read pixel by pixel, and drawn spoken words, 64 time steps
# each; a network with learned delays, five seeds. Nothing to download. The learning rate is the same for all methods:
# the steps of AdamW do not depend on the scale of the gradient.
name = 'time_sequences'
networks = dict(delay_snn=['../_base_/models/delay_snn_small.py'])
datasets = dict(
    spoken_digits=['../_base_/datasets/spoken_digits.py'], digit_sequences=['../_base_/datasets/digit_sequences.py']
)
_policies = ('tri', 'box', 'asy', 'atan', 'sasg', 'tasg', 'stasg', 'a2sg', 'dspike', 'lsg', 'cpng', 'mpd_agl')
methods = {name: name for name in _policies}
methods['im_loss'] = ['im_loss_shape', 'im_loss']
methods.update({name: ['tri', name] for name in ('rmp_loss', 'membrane_kl', 'tet')})
common = ['../_base_/schedules/short_adamw.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2, 3, 4]
reference = 'tri'
timeout = 1800
dataset_options = dict(digit_sequences={'model.backbone.in_features': 1})
method_options = dict(dspike={'adaptation.policy.interval': 80, 'adaptation.policy.directions': 16})
