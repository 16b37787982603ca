"""The examples of the page on attaching run as they stand there."""

import re
from pathlib import Path

import pytest

import a2sg_zoo
from tests.adaptation.foreign.networks import braincog_nodes

PAGE = Path(__file__).resolve().parents[3] / 'docs' / 'attach.md'
EXAMPLES = [code for code in re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S) if 'import torch' in code]


@pytest.mark.parametrize('code', EXAMPLES, ids=['SpikingJelly', 'snnTorch', 'norse', 'BrainCog', 'own', 'monitor'])
def test_example(code, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if 'braincog' in code:
        braincog_nodes()
    if 'tensorboard' in code:
        pytest.importorskip('tensorboard')
    for library in re.findall(r'^(?:import|from) (spikingjelly|snntorch|norse)', code, re.M):
        pytest.importorskip(library)
    names = {'__name__': f'example_{len(code)}'}
    exec(compile(code, str(PAGE), 'exec'), names)
    printed = capsys.readouterr().out
    for layer in names['layers'].values():
        assert layer.beta.numel() > 1 and (layer.beta != 1).any()
        assert f'{layer.beta}' in printed or '| layer | SGV |' in printed
    assert not any(layer.differs for layer in a2sg_zoo.probe(names['network']).values())
