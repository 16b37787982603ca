# 200 of the digits that scikit-learn brings along, 8x8, as they are. Validation takes 337 other training digits.
_base_ = 'digits.py'
train_dataloader = dict(batch_size=50, dataset=dict(per_class=(0, 20), pipeline=[]))
val_dataloader = dict(dataset=dict(train=True, per_class=(110, None)))
test_dataloader = dict(dataset=dict(train=False))
