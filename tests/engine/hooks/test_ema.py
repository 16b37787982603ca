"""An averaged copy of the weights, by config: under a policy that adapts widths, and resumed."""

import shutil

import torch

from a2sg_zoo.engine.run import prepare_config, train

SMALL = {
    'train_cfg.max_iters': 8,
    'train_cfg.val_interval': 4,
    'default_hooks.checkpoint.interval': 4,
    'log_level': 'ERROR',
    'ema.momentum': 0.1,
    'adaptation.policy.interval': 2,
    'adaptation.policy.searcher': dict(_delete_=True, type='ExactSearcher'),
    'train_dataloader.dataset.per_class': (0, 20),
    'model.backbone.stem': 8,
    'model.backbone.widths': (8, 8, 8),
    'model.head.in_channels': 8,
}


def test_an_average_of_the_weights_is_evaluated_and_resumed(tmp_path):
    def run(folder, resume=None):
        train(prepare_config('resnet_small_digits', SMALL, work_dir=folder, methods=['a2sg']), resume)
        return torch.load(folder / 'iter_8.pth', weights_only=False)

    whole = run(tmp_path / 'whole')
    # MMEngine saves the average as the weights, and the trained weights beside it
    average, trained = whole['state_dict'], whole['ema_state_dict']
    assert any(not torch.equal(x, trained[f'module.{name}']) for name, x in average.items() if name.endswith('weight'))
    assert all(len(x) == 4 for name, x in average.items() if name.endswith('.beta'))
    (tmp_path / 'resumed').mkdir()
    shutil.copy(tmp_path / 'whole' / 'iter_4.pth', tmp_path / 'resumed')
    resumed = run(tmp_path / 'resumed', str(tmp_path / 'resumed' / 'iter_4.pth'))
    for part in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(x, resumed[part][name]) for name, x in whole[part].items())
