"""The command line of the analysis: from a run's folder or a checkpoint to files; mistakes end with a message."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from a2sg_zoo.analysis.report import SECTIONS
from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.run import prepare_config

from ..analysis.test_compare import make_run
from .mistakes import mistake
from .test_classification import CONFIG, SMALL
from .test_train_and_test import data_options

QUICK = ['--samples', 2, '--batch-size', 2, '--vectors', 1, '--steps', 1, '--points', 2]


def analyze(monkeypatch, *arguments):
    """Runs the tool in this process; returns its exit status."""
    monkeypatch.setattr(sys, 'argv', ['analyze.py', *map(str, arguments)])
    try:
        runpy.run_path('tools/analyze.py', run_name='__main__')
    except SystemExit as end:
        return end.code
    return 0


ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def segmenter(tmp_path_factory):
    """The folder of a run of a segmentation network whose neurons have no window: E-SpikeFormer, untrained."""
    folder = tmp_path_factory.mktemp('segmenter')
    options = dict(option.split('=', 1) for option in data_options(folder / 'data'))
    cfg = prepare_config(
        'configs/e_spikeformer_ade20k_ilif.py',
        {
            'model.backbone.embed_dims': [8, 16, 32, 40],
            'model.backbone.depths': [1, 1],
            'model.backbone.num_heads': 4,
            'model.neck.in_channels': [4, 8, 16, 40],
            'model.neck.out_channels': 8,
            'model.decode_head.channels': 8,
            'model.decode_head.in_channels': [8] * 4,
            **{key: int(value) if value.isdigit() else value for key, value in options.items()},
        },
        demo=True,
        work_dir=folder,
    )
    torch.manual_seed(0)
    torch.save(dict(state_dict=build_runner(cfg).model.state_dict(), optimizer={}), folder / 'iter_1.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_1.pth'))
    return folder


@pytest.mark.parametrize(
    'arguments, parts',
    [
        (['none.pth'], ['none.pth']),
        (['some.pth'], ['--config']),
        (['some.pth', '--config', CONFIG, '--demo', '--what', 'curvature', '--cfg-options', *SMALL], ['curvature']),
    ],
)
def test_mistakes(arguments, parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / 'some.pth').touch()
    error = mistake(capsys, 'analyze', str(tmp_path / arguments[0]), '--out', str(tmp_path / 'out'), *arguments[1:])
    assert all(part in error for part in parts)


def test_a_run_has_its_analysis_in_its_folder(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / 'run')
    assert analyze(monkeypatch, folder, '--what', 'energy,landscape', *QUICK) == 0
    out = folder / 'analysis'
    assert '2 samples, ' in capsys.readouterr().out and (out / 'landscape_2d.png').is_file()
    assert json.loads((out / 'landscape.json').read_text())['points'][3]['j'] == 1
    # what shows a run in TensorBoard shows these, too
    assert EventAccumulator(str(out)).Reload().Tags()['images'] == ['analysis/energy', 'analysis/landscape_2d']
    for path in sorted(out.iterdir()):
        path.rename(tmp_path / path.name)
    assert analyze(monkeypatch, folder / 'iter_2.pth', '--what', 'energy', *QUICK) == 0
    assert (out / 'energy.json').read_text() == (tmp_path / 'energy.json').read_text()


@pytest.mark.slow
def test_all_passes_over_what_does_not_apply(segmenter, monkeypatch, capsys):
    assert analyze(monkeypatch, segmenter, '--what', 'all', *QUICK) == 0
    said, out = capsys.readouterr().out, segmenter / 'analysis'
    named = dict(variation='ESpikeFormer', theory='ESpikeFormer', growth='images')
    for name in SECTIONS:
        data, text = json.loads((out / f'{name}.json').read_text()), (out / f'{name}.md').read_text()
        assert data['loss'] > 0 and data['accuracy'] is None and 'samples, ' in text
        if name in named:
            why = data['not_applicable']
            assert named[name] in why and why in text and f'\n{name}: not applicable: {why}\n' in f'\n{said}'
        else:
            assert 'not_applicable' not in data and f'## {name}\n' in said


def test_nothing_that_was_asked_for_applies(segmenter, tmp_path, monkeypatch, capsys):
    assert analyze(monkeypatch, segmenter, '--what', 'growth,variation', '--out', tmp_path, *QUICK) == 2
    error = capsys.readouterr().err
    assert 'error: ' in error and 'growth: ' in error and 'variation: ' in error
    assert {path.name for path in Path(tmp_path).glob('*.md')} == {'growth.md', 'variation.md'}
