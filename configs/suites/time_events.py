# Methods on event frames of digits in motion, 8 time steps; a small convolutional network, five seeds. Nothing to
# download. The learning rate is the same for all methods: the steps of AdamW do not depend on the gradient's scale.
name = 'time_events'
networks = dict(csnn=['../_base_/models/csnn_small.py'])
datasets = dict(event_digits=['../_base_/datasets/event_digits.py'])
methods = ['tri', 'atan', 'stasg', 'a2sg', 'lsg', 'cpng']
common = ['../_base_/schedules/short_adamw.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2, 3, 4]
reference = 'tri'
timeout = 1800
options = {'optim_wrapper.optimizer.lr': 0.005}
