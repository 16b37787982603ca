"""The neuron of a user on the page about neurons: a file outside of the package, trained by the command beside it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'neurons.md').read_text()
SMALL = """
    model.backbone.depths=(1,) model.backbone.widths=(8,) model.backbone.stem=4 model.backbone.T=3
    model.head.in_channels=8 train_cfg.max_iters=3 train_cfg.val_interval=3 adaptation.policy.interval=1
""".split()


def test_the_neuron_of_the_page_is_trained_with_a_search(tmp_path):
    (code,) = re.findall(r'```python\n(# my_neurons\.py\n.*?)```', PAGE, re.DOTALL)
    (command,) = re.findall(r'PYTHONPATH=\. a2sg-zoo train (.*?)```', PAGE.replace('\\\n', ' '), re.DOTALL)
    (tmp_path / 'my_neurons.py').write_text(code)
    done = subprocess.run(
        [sys.executable, '-m', 'a2sg_zoo.cli.train', *command.split(), *SMALL],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}.', 'OMP_NUM_THREADS': '1'},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (checkpoint,) = (tmp_path / 'work_dirs').rglob('iter_3.pth')
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    (widths,) = (value for key, value in state.items() if key.endswith('stem_neuron.beta'))
    (frequency,) = (value for key, value in state.items() if key.endswith('stem_neuron.frequency'))
    assert widths.shape == (3,) and widths.unique().numel() > 1 and frequency != 0.8


def test_the_page_names_every_neuron():
    from a2sg_zoo.registry import NEURONS

    own = [name for name in NEURONS.own_names() if NEURONS.get(name).__module__.startswith('a2sg_zoo')]
    listed = re.findall(r'^\| `(\w+)` \|', PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(own)
