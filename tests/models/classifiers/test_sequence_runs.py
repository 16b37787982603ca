"""Networks for sequences as a user trains them: by the command line, on data that need no download."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def train(folder, config, *options):
    return subprocess.run(
        [
            *(sys.executable, 'tools/train.py', f'configs/{config}', '--work-dir', str(folder), '--method', 'a2sg'),
            *('--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2', *options),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_data_that_do_not_fit_the_network_end_in_one_line(tmp_path):
    found = train(tmp_path, 'delay_snn/delay_snn_small_digit_sequences.py', 'model.backbone.in_features=3')
    assert found.returncode == 2 and 'Traceback' not in found.stderr
    (line,) = [line for line in found.stderr.splitlines() if line.startswith('error: ')]
    assert 'in_features = 3' in line


def test_a_training_of_delays(tmp_path):
    found = train(tmp_path, 'delay_snn/delay_snn_small_spoken_digits.py', 'val_dataloader.dataset.samples=20')
    assert found.returncode == 0, found.stderr[-2000:]
    assert (tmp_path / 'iter_2.pth').exists()
