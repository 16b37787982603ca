"""Which methods go together: each policy with each loss and each optimiser, in a run of three steps on the digits.

python -m tests.composition      prints the table
"""

import math
import sys
import tempfile

from a2sg_zoo.engine.config_files import read_config
from a2sg_zoo.engine.config_names import find_method, shipped_methods
from a2sg_zoo.engine.run import prepare_config, train

PARTS = dict(policy={'adaptation'}, loss={'loss', 'membrane_loss'}, optimiser={'optim_method'})
# the methods of each kind, told by the part that they set
KINDS = {
    kind: [name for name in shipped_methods() if parts & read_config(find_method(name)).values.keys()]
    for kind, parts in PARTS.items()
}
SMALL = {
    'model.backbone.depths': (1,),
    'model.backbone.widths': (8,),
    'model.backbone.stem': 4,
    'model.backbone.T': 2,
    'model.head.in_channels': 8,
    'train_cfg.max_iters': 3,
    'train_cfg.val_interval': 3,
    'val_dataloader.dataset.per_class': (0, 2),
    'log_level': 'ERROR',
    'visualizer': dict(_delete_=True, type='Visualizer'),
    'default_hooks.checkpoint': None,
    'default_hooks.run_info': None,
}


def run(*methods):
    """Trains for three steps and evaluates; returns what is wrong, or ''."""
    with tempfile.TemporaryDirectory() as folder:
        options = {**SMALL, **({'adaptation.log_interval': 1} if {*methods} & {*KINDS['policy']} else {})}
        runner = train(prepare_config('resnet_small_digits', options, work_dir=folder, methods=methods))
        scalars = runner.message_hub.log_scalars
        losses = scalars['train/loss'].data[0]
    if runner.iter != 3 or not all(map(math.isfinite, losses)):
        return f'losses {losses}'
    named = {'im_loss', 'rmp_loss', 'membrane_kl'} & {*methods}
    return 'no membrane loss' if named and 'train/loss_membrane' not in scalars else ''


def main():
    columns = [[loss, optimiser] for loss in ('', *KINDS['loss']) for optimiser in ('', *KINDS['optimiser'])]
    print('| policy |', ' | '.join(' + '.join(filter(None, column)) or 'alone' for column in columns), '|')
    print('|---' * (1 + len(columns)) + '|')
    wrong = 0
    for policy in KINDS['policy']:
        cells = []
        for column in columns:
            try:
                problem = run(policy, *filter(None, column))
            except Exception as error:
                problem = f'{type(error).__name__}: {error}'
            wrong += bool(problem)
            cells.append(problem or 'yes')
        print(f'| {policy} |', ' | '.join(cells), '|', flush=True)
    print(f'\n{wrong} of {len(KINDS["policy"]) * len(columns)} combinations fail')
    return wrong > 0


if __name__ == '__main__':
    sys.exit(main())
