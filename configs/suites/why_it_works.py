# What docs/why_it_works.md is made of: the methods that the paper's argument compares, with one learning rate and
# schedule for all, since sharpness depends on both. ST-ASG and A2SG search in every step, as in the paper, with the
# exact searcher, which finds what TPE's trials approximate in half its time; `a2sg_rarely` is A2SG as this project
# configures it. Needs CIFAR-10 as image files, see ../_base_/datasets/cifar10_folder.py.
name = 'why_it_works'
networks = dict(resnet=['../_base_/models/resnet_small.py'])
datasets = dict(cifar10_subset=['../_base_/datasets/cifar10_subset.py'], digits=['../_base_/datasets/digits.py'])
methods = {name: name for name in ('tri', 'box', 'asy', 'stasg', 'a2sg')}
methods['a2sg_rarely'] = 'a2sg'
common = ['../_base_/schedules/short_sgd.py', '../_base_/default_runtime.py']
seeds = [0, 1, 2]
reference = 'tri'
timeout = 3600
options = {
    'adaptation.log_interval': 10,
    'train_cfg.max_iters': 400,
    'train_cfg.val_interval': 400,
    'default_hooks.checkpoint.interval': 400,
}
method_options = {
    name: {'adaptation.policy.interval': 1, 'adaptation.policy.searcher': dict(_delete_=True, type='ExactSearcher')}
    for name in ('stasg', 'a2sg')
}
