"""The examples of the page on attaching run as they stand there."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'attach.md'
EXAMPLES = [code for code in re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S) if 'import torch' in code]


@pytest.mark.parametrize('code', EXAMPLES, ids=['SpikingJelly', 'snnTorch', 'norse', 'own'])
def test_example(code, capsys):
    for library in re.findall(r'^(?:import|from) (spikingjelly|snntorch|norse)', code, re.M):
        pytest.importorskip(library)
    names = {'__name__': f'example_{len(code)}'}
    exec(compile(code, str(PAGE), 'exec'), names)
    printed = capsys.readouterr().out
    (layer,) = names['layers'].values()
    assert layer.beta.numel() > 1 and (layer.beta != 1).any() and f'{layer.beta}' in printed
