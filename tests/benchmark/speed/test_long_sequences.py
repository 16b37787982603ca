"""The benchmark of long sequences, with sequences that are short."""

import pytest
import torch

from a2sg_zoo.benchmark.speed import long_sequences
from a2sg_zoo.benchmark.speed.networks import Setting


def test_rows(monkeypatch):
    for name, value in dict(
        STEPS=(3, 5), EVEN_STEPS=(2, 4), SEARCH_STEPS=4, SHAPE=(2, 3), EVEN_SHAPE=(2, 3), CHUNK=2
    ).items():
        monkeypatch.setattr(long_sequences, name, value)
    measured = []

    def peak_memory(make_action, device, threads):
        small, action = make_action(device)
        small()
        action()
        measured.append(threads)
        return len(measured)

    monkeypatch.setattr(long_sequences, 'peak_memory', peak_memory)
    rows = long_sequences.long_rows(Setting(torch.device('cpu'), None, 2, 1, 3, False))
    assert measured == [3] * 4  # two sequences of the network, at once and in chunks
    names = [row.what for row in rows]
    assert len(names) == len(set(names)) == 1 + 2 + 4
    assert sum('peak memory, time_chunk=2' in name for name in names) == 2
    assert sum('steps_per_width=16' in name for name in names) == 1
    for row in rows[1:]:
        name = row.what.rpartition(': ')[2].removeprefix('peak memory, ').removeprefix('A2SG, ')
        assert row.ratio == row.medians[name] / row.medians['fixed' if 'A2SG' in row.what else row.against]


@pytest.mark.parametrize('library', ['spikingjelly', 'snntorch'])
def test_peers_go_through_the_same_sequence(library):
    pytest.importorskip(library)
    kind = dict(spikingjelly='SpikingJelly', snntorch='snnTorch')[library]
    setting = Setting(torch.device('cpu'), None, 2, 1, 1, True)
    step = long_sequences._layer_step(setting, kind, 3, setting.device)
    step(), step()  # its state does not reach from one step into the next
