"""A checkpoint to tables and pictures, and what goes wrong on the way."""

import json
import re
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import a2sg_zoo
from a2sg_zoo.adaptation import A2SG
from a2sg_zoo.analysis import sections
from a2sg_zoo.analysis.loading import find_run, load_batches, load_network
from a2sg_zoo.analysis.measures.fisher import fisher_spectrum
from a2sg_zoo.analysis.measures.objective import NotApplicable, Objective
from a2sg_zoo.analysis.report import SECTIONS, Report, analyse, table
from a2sg_zoo.engine.build import build_runner
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import A2SGError, CheckpointError, ConfigError, DataError
from a2sg_zoo.hub.pretrained import pretrained_file
from a2sg_zoo.registry import DATASETS
from a2sg_zoo.surrogates import ASY

from .networks import classifier_objective, save_run_checkpoint

CONFIG = 'configs/spikformer_4_384_cifar10_a2sg.py'
SMALL = {
    'model.backbone.embed_dims': 32,
    'model.backbone.depth': 1,
    'model.backbone.num_heads': 4,
    'model.backbone.T': 2,
    'model.head.in_channels': 32,
}
QUICK = dict(vectors=2, steps=3, points=2, dimensions=2)


def config(work_dir):
    return prepare_config(CONFIG, SMALL, demo=True, work_dir=work_dir)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """The folder of a run: an untrained network whose neurons fire, a config, a log."""
    folder = tmp_path_factory.mktemp('run')
    cfg = config(folder)
    torch.manual_seed(0)
    model = build_runner(cfg).model
    for name, p in model.named_parameters():
        if '.bn.' in name:
            torch.nn.init.constant_(p, 1.0)
    weights = model.state_dict()
    name = 'backbone.blocks.0.mlp.neuron1'
    weights[f'{name}.beta'] = torch.tensor([0.5, 0.75])
    save_run_checkpoint(weights, folder / 'iter_4.pth', 4)
    records = [
        dict(iter=i, layers={name: dict(beta=[0.1, i / 4], sgv=1.0, tgc=[None], cv=[1.0, 2.0], rate=0.1)})
        for i in (2, 4)
    ]
    (folder / 'adaptation.jsonl').write_text(''.join(json.dumps(r) + '\n' for r in records))
    return folder


@pytest.mark.parametrize(
    'sections',
    [['fisher', 'variation', 'landscape', 'energy', 'rasters'], pytest.param(list(SECTIONS), marks=pytest.mark.slow)],
    ids=['some', 'all'],
)
def test_sections(run, tmp_path, sections):
    checkpoint, path, log = find_run(run)
    assert checkpoint == run / 'iter_4.pth' and path.name == 'spikformer_4_384_cifar10_a2sg.py' and log == run
    said = []
    analyse(
        prepare_config(path),
        checkpoint,
        sections,
        tmp_path,
        log,
        samples=6,
        batch_size=4,
        settings=QUICK,
        say=said.append,
    )
    for name in sections:
        data = json.loads((tmp_path / f'{name}.json').read_text())
        assert data['samples'] == 6
        text = (tmp_path / f'{name}.md').read_text()
        assert 'nan' not in text.lower() and text in said
    pictures = [
        'fisher',
        'landscape_2d',
        'variation_sgv',
        'variation_beta',
        'variation_tgc_over_time',
        'energy',
        'rasters',
    ]
    pictures += ['bridge', 'theory', 'growth'] * ('growth' in sections)
    for stem in pictures:
        assert (tmp_path / f'{stem}.png').stat().st_size > 5000
        assert '<svg' in (tmp_path / f'{stem}.svg').read_text()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert {f'analysis/{stem}' for stem in pictures} <= set(events.Tags()['images'])
    (image,) = events.Images('analysis/energy')
    drawn = Image.open(BytesIO(image.encoded_image_string))
    assert drawn.size == (image.width, image.height) and np.asarray(drawn.convert('L')).std() > 10
    rows = json.loads((tmp_path / 'variation.json').read_text())['layers']
    betas = {(row['layer'], row['t']): row['beta'] for row in rows}
    assert betas['backbone.blocks.0.mlp.neuron1', 2] == 0.75
    # the last time step has no successor to be consistent with
    assert '| undefined |' in (tmp_path / 'variation.md').read_text()


def test_the_network_has_the_methods_surrogate(run, tmp_path):
    model = load_network(config(tmp_path), run / 'iter_4.pth')
    neuron = model.backbone.blocks[0].mlp.neuron1
    assert isinstance(neuron.policy, A2SG) and isinstance(neuron.surrogate, ASY) and not model.training
    assert neuron.beta.tolist() == [0.5, 0.75]


def test_samples(run, tmp_path):
    cfg = config(tmp_path)
    model = load_network(cfg, run / 'iter_4.pth')
    first, again = (load_batches(cfg, model, samples=10, batch_size=4, seed=3) for _ in range(2))
    assert [len(y) for _, y in first] == [4, 4, 2]
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, again))
    other = load_batches(cfg, model, samples=10, batch_size=4, seed=4)
    assert not torch.equal(first[0][0], other[0][0])
    # more than there are, in one batch
    assert [len(y) for _, y in load_batches(cfg, model, 'test', samples=1000, batch_size=1000)] == [360]


class Plain(torch.utils.data.Dataset):
    """A data set of one's own that takes no pipeline."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return dict(inputs=torch.zeros(1, dtype=torch.uint8), data_samples=index)


class Joined(torch.utils.data.ConcatDataset):
    """A wrapper of data sets that takes no pipeline."""

    def __init__(self, dataset=None, datasets=()):
        super().__init__([DATASETS.build(x) for x in (dataset, *datasets) if x])


@pytest.mark.parametrize('split', ['train', 'test'])
def test_data_sets_without_a_pipeline_and_wrapped_ones(split):
    collate = dict(type='default_collate')
    shared = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=collate)
    model = SimpleNamespace(data_preprocessor=lambda data, training: data)

    def labels(train, test):
        cfg = Config(
            dict(
                model=dict(type='SpikingClassifier'),
                train_dataloader=dict(dataset=train, **shared),
                test_dataloader=dict(dataset=test, **shared),
            )
        )
        return sorted(y.item() for _, targets in load_batches(cfg, model, split, 8, 1) for y in targets)

    assert labels(dict(type=Plain, length=3), dict(type=Plain, length=3)) == [0, 1, 2]
    plain, digits = dict(type=Plain, length=2), dict(type='Digits', train=False, per_class=(0, 1), pipeline=[])
    augmented = dict(digits, pipeline=[dict(type='a step that must not be built')])
    for wrap in (lambda x: dict(type=Joined, dataset=x), lambda x: dict(type=Joined, datasets=[plain, x])):
        for test in (digits, wrap(digits)):
            assert len(labels(wrap(augmented), test)) == 8


def test_a_diverged_checkpoint(run, tmp_path):
    contents = torch.load(run / 'iter_4.pth', weights_only=True)
    contents['state_dict']['backbone.blocks.0.mlp.fc1.conv.bias'][3] = float('inf')
    torch.save(contents, tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match=r'mlp.fc1.conv.bias.*\b1 of \d+'):
        load_network(config(tmp_path), tmp_path / 'bad.pth')


def test_weights_that_are_finite_but_too_large(run, tmp_path):
    contents = torch.load(run / 'iter_4.pth', weights_only=True)
    contents['state_dict']['head.layers.0.bias'][:2] = torch.tensor([3e38, -3e38])
    torch.save(contents, tmp_path / 'bad.pth')
    with pytest.raises(A2SGError, match='bad.pth.*loss.*train'):
        analyse(config(tmp_path), tmp_path / 'bad.pth', ['fisher'], tmp_path / 'out', samples=4)


def test_weights_of_the_zoo():
    name = 'resnet_small_digits_tri'
    for said in (name, f'zoo:{name}'):
        assert find_run(said) == (
            pretrained_file(name),
            Path(a2sg_zoo.info(name)['config']),
            Path('work_dirs', 'zoo', name),
        )
    assert find_run(name, 'mine.py')[1] == Path('mine.py')


def test_a_path_from_the_home_folder(run, monkeypatch):
    monkeypatch.setenv('HOME', str(run.parent))
    for said, checkpoint in ((f'~/{run.name}', run / 'iter_4.pth'), (f'~/{run.name}/iter_4.pth', run / 'iter_4.pth')):
        assert find_run(said)[0] == checkpoint and find_run(said)[2] == run


def test_a_file_beside_a_checkpoint_is_no_config(tmp_path):
    (tmp_path / 'some.pth').touch()
    (tmp_path / 'setup.py').write_text('raise SystemExit')
    with pytest.raises(ConfigError, match='--config'):
        find_run(tmp_path / 'some.pth')


def test_mistakes(run, tmp_path):
    with pytest.raises(CheckpointError, match='some.pth'):
        find_run(tmp_path / 'some.pth')
    (tmp_path / 'some.pth').touch()
    with pytest.raises(ConfigError, match='--config'):
        find_run(tmp_path / 'some.pth')
    (tmp_path / 'last_checkpoint').touch()
    for name in 'ab':
        (tmp_path / f'{name}.py').write_text('')
    with pytest.raises(ConfigError, match='2 configs'):
        find_run(tmp_path / 'some.pth')
    with pytest.raises(CheckpointError, match='best'):
        find_run(run, which='best')
    with pytest.raises(ConfigError, match='--what.*colour.*variation'):
        analyse(None, None, ['fisher', 'colour'], tmp_path)


@pytest.mark.parametrize(
    'changed, flag',
    [
        (dict(samples=0), '--samples.*0'),
        (dict(batch_size=-1), '--batch-size.*-1'),
        (dict(settings=dict(vectors=0)), '--vectors'),
        (dict(settings=dict(steps=0)), '--steps'),
        (dict(settings=dict(points=1)), '--points.*2'),
        (dict(settings=dict(processes=0)), '--processes'),
        (dict(settings=dict(rho=0.0)), '--rho'),
        (dict(settings=dict(span=float('nan'))), '--span.*nan'),
        (dict(settings=dict(memory=-1.0)), '--memory'),
    ],
)
def test_settings_that_make_no_sense(changed, flag, tmp_path):
    with pytest.raises(ConfigError, match=flag):
        analyse(None, None, ['fisher'], tmp_path, **changed)


def test_fewer_samples_than_asked_for_are_said(run, tmp_path):
    said = []
    analyse(
        config(tmp_path), run / 'iter_4.pth', [], tmp_path, split='test', samples=1000, batch_size=1000, say=said.append
    )
    (line,) = said
    assert all(part in line for part in ('test', '360', '1000'))


def test_an_empty_data_set(run, tmp_path, monkeypatch):
    monkeypatch.setattr('a2sg_zoo.datasets.classification.Digits.__len__', lambda self: 0)
    cfg = config(tmp_path)
    model = load_network(cfg, run / 'iter_4.pth')
    with pytest.raises(DataError, match='train'):
        load_batches(cfg, model)


def test_table():
    rows = [dict(layer='a|b', x=1 / 3, ok=True, none=None), dict(layer='c', x=2.0, ok=False, none=None)]
    assert table(rows) == (
        '| layer | x | ok | none |\n| --- | --- | --- | --- |\n'
        '| a\\|b | 0.3333 | yes | undefined |\n| c | 2 | no | undefined |\n'
    )


def test_no_section_of_that_name(tmp_path):
    model = torch.nn.Linear(2, 2)
    report = Report(Objective(model, [(torch.ones(1, 2), torch.zeros(1))], lambda m, x, y: m(x).sum()), tmp_path)
    with pytest.raises(ConfigError, match='colour.*variation'):
        report.write('colour')


def test_the_energy_section_has_the_convention_in_its_table(run, tmp_path):
    analyse(config(tmp_path), run / 'iter_4.pth', ['energy'], tmp_path, samples=4, batch_size=4, say=lambda text: None)
    data, text = json.loads((tmp_path / 'energy.json').read_text()), (tmp_path / 'energy.md').read_text()
    assert '| MACs, at 4.6 pJ |' in text and '| SOPs, at 0.9 pJ |' in text
    assert data['energy_pj'] == pytest.approx(4.6 * data['macs'] + 0.9 * data['sops'])
    assert data['ann_energy_pj'] == pytest.approx(4.6 * sum(layer['macs'] for layer in data['layers']))


def test_a_network_that_guesses_is_named(tmp_path):
    objective = classifier_objective(sizes=(20, 12))
    (x, _), (y, _) = objective.batches
    with torch.no_grad():  # no class is ahead in all samples
        bias = objective.model.head.layers[0].bias
        bias.sub_(objective.model(x).mean((0, 1)))
        right = [objective.model(inputs).mean(0).argmax(1) for inputs in (x, y)]
    assert len(torch.cat(right).unique()) > 1

    def report(targets):
        return Report(Objective(objective.model, [(x, targets[0]), (y, targets[1])]), tmp_path)

    good, bad = report(right), report([(t + 1) % 3 for t in right])
    single = report([torch.zeros_like(t) for t in right])
    assert (good.accuracy, good.guessing, bad.accuracy, bad.guessing, single.guessing) == (1, False, 0, True, None)
    assert '100.0%' in good.head() and '**' not in good.head() and '**' in bad.head()


def test_the_limit_of_guessing(tmp_path):
    """Of 32 samples, 16 of the most frequent class: half, and two standard errors of 0.0884 more, is 0.677: 21 right
    answers can be luck, 22 are not taken for it."""
    objective = classifier_objective(sizes=(32,))
    report = Report(Objective(objective.model, [(objective.batches[0][0], torch.tensor([0, 1]).repeat(16))]), tmp_path)
    for right, guessing in ((16, True), (21, True), (22, False)):
        report.accuracy = right / 32
        assert report.guessing is guessing


def test_what_did_not_converge_is_said(tmp_path, monkeypatch):
    objective = classifier_objective(torch.float32)
    report = Report(objective, tmp_path, settings=dict(steps=1, vectors=1))
    assert '--memory' not in report.write('fisher')
    monkeypatch.setattr(sections, 'fisher_spectrum', partial(fisher_spectrum, method='power', iterations=2))
    text, change = report.write('fisher'), json.loads((tmp_path / 'fisher.json').read_text())['change']
    assert change > 1e-3 and re.search(rf'\*\*.*{change:.2g}.*--memory.*\*\*', text)
    assert re.search(r'\*\*.*surrogate: largest.*--steps.*\*\*', report.write('hessian'))
    report.settings['steps'] = 60
    assert '--steps' not in report.write('hessian')


def test_out_of_memory_on_a_cpu(run, tmp_path, monkeypatch):
    monkeypatch.setitem(SECTIONS, 'fisher', lambda report: torch.empty(1 << 58))
    with pytest.raises(A2SGError, match='fisher.*cpu.*--batch-size'):
        analyse(config(tmp_path), run / 'iter_4.pth', ['fisher'], tmp_path, samples=2)


def test_other_faults_of_a_section_are_not_taken_for_memory(run, tmp_path, monkeypatch):
    monkeypatch.setitem(SECTIONS, 'fisher', lambda report: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match='size'):
        analyse(config(tmp_path), run / 'iter_4.pth', ['fisher'], tmp_path, samples=2)


@pytest.mark.parametrize('frames', [False, True])
def test_growth_takes_all_samples_and_the_mean_of_frames(frames, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sections, 'hessian_growth', lambda shape, x, targets, seed: seen.append(x))
    objective = classifier_objective(torch.float32, sizes=(3, 1))
    images = torch.rand(4, 3, 16, 16)
    report = Report(objective, tmp_path)
    inputs = torch.stack([images - 1, images + 1], 1) if frames else images
    objective.batches = [(x, labels) for x, (_, labels) in zip(inputs.split((3, 1)), objective.batches)]
    with pytest.raises(AttributeError):  # there is no result to draw
        report.write('growth')
    pooled = images.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5)).flatten(1)
    assert torch.allclose(seen[0], pooled - pooled.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    'name, why',
    [
        ('variation', 'BatchNorm1d'),
        ('theory', 'BatchNorm1d'),
        ('bridge', 'linear'),
        ('energy', 'BatchNorm1d'),
        ('rasters', 'neurons'),
        ('growth', r'\b0.1\b'),
    ],
)
def test_sections_that_do_not_apply(name, why, tmp_path):
    model = torch.nn.BatchNorm1d(2)
    report = Report(Objective(model, [(torch.zeros(4, 2), torch.arange(4))], lambda m, x, y: m(x).sum()), tmp_path)
    with pytest.raises(NotApplicable, match=why):
        report.write(name)
    assert re.search(why, json.loads((tmp_path / f'{name}.json').read_text())['not_applicable'])
