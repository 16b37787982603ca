# The digits of converged.py with every method tuned: each has the best of four trials over its learning rate and one
# parameter of its own, judged by training images that no trial trains on. The file of `tuned` is what they found:
#     a2sg-zoo search configs/suites/converged.py --trials 4 --workers 2 --only 'resnet-digits_few-*'
_base_ = 'converged.py'
name = 'converged_tuned_digits'
datasets = dict(_delete_=True, digits_few=_base_.datasets.digits_few)
dataset_options = dict(_delete_=True, digits_few=_base_.dataset_options.digits_few)
search = dict(_delete_=True)
tuned = 'converged_tuned_digits.tuned.json'
