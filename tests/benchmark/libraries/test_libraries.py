"""The comparison of libraries: the networks are the same mathematics, and the report says what was measured."""

import json

import pytest
import torch

from a2sg_zoo.adaptation import Fixed
from a2sg_zoo.benchmark.libraries import measurements
from a2sg_zoo.benchmark.libraries.examples import EXAMPLES
from a2sg_zoo.benchmark.libraries.measurements import METHODS, Section, Setting, digits
from a2sg_zoo.benchmark.libraries.networks import LIBRARIES, build
from a2sg_zoo.benchmark.libraries.report import as_data, markdown
from a2sg_zoo.cli.benchmark_libraries import main

pytestmark = pytest.mark.filterwarnings('ignore::FutureWarning', 'ignore::DeprecationWarning')


@pytest.fixture
def libraries():
    for name in ('spikingjelly', 'snntorch', 'norse'):
        pytest.importorskip(name)


@pytest.mark.parametrize('method', METHODS)
def test_every_library_computes_the_same(libraries, method):
    images, labels = digits(8, dtype=torch.float64)
    found = {}
    for library in LIBRARIES:
        network, layers = build(library, METHODS[method](), dtype=torch.float64)
        out = network(images[:32])
        torch.nn.functional.cross_entropy(out, labels[:32]).backward()
        gradients = [p.grad for p in network.parameters()]
        assert all(g.abs().max() > 0 for g in gradients)
        found[library] = out, *gradients, *(layer.beta.expand(4) for layer in layers.values())
    for library in LIBRARIES:
        for a, b in zip(found[library], found['a2sg_zoo'], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_weights_follow_the_seed_and_nothing_else(libraries):
    first, again, other = (
        build(name, Fixed(), seed)[0].conv2.weight for name, seed in (('norse', 1), ('snnTorch', 1), ('norse', 2))
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize('name', EXAMPLES)
def test_an_example_learns(libraries, name):
    example = EXAMPLES[name]
    images, labels = (x[:64] for x in digits(28))
    torch.manual_seed(0)
    network = example.build()
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    optimizer = example.optimizer(network.parameters())
    out, scores = example.forward(network, images)
    assert scores.shape == (64, 10)
    example.loss(out, labels).backward()
    optimizer.step()
    assert any(not torch.equal(p, before[key]) for key, p in network.named_parameters())


def test_the_report():
    rows = [dict(library='one', share=0.5, std=None)]
    sections = [Section('Part', 'Text.', dict(library='', share='.1%', std='.2f'), rows)]
    facts = dict(machine='M', command='C')
    text = markdown(sections, facts)
    assert '| one | 50.0% |  |' in text and '    C\n' in text
    assert json.loads(json.dumps(as_data(sections, facts))) == dict(facts=facts, sections=dict(Part=rows))


def test_command_line(libraries, tmp_path, capsys, monkeypatch):
    def part(setting):
        assert setting == Setting(seeds=1, epochs=2, rounds=1, threads=1)
        return measurements.training(setting._replace(epochs=1))

    monkeypatch.setitem(measurements.PARTS, 'training', part)
    monkeypatch.setattr(measurements, 'digits', lambda *args, **kwargs: tuple(x[:64] for x in digits(8)))
    monkeypatch.setattr(measurements, 'LIBRARIES', dict.fromkeys(('a2sg_zoo', 'norse'), LIBRARIES['norse']))
    threads = torch.get_num_threads()
    arguments = 'training --seeds 1 --epochs 2 --rounds 1 --threads 1 --out'.split()
    try:
        main([*arguments, str(tmp_path / 'found')])
    finally:
        torch.set_num_threads(threads)
    assert capsys.readouterr().out.strip() in (tmp_path / 'found.md').read_text()
    rows = json.loads((tmp_path / 'found.json').read_text())['sections']['Training']
    assert [(row['method'], row['library']) for row in rows] == [
        (method, library) for method in METHODS for library in ('a2sg_zoo', 'norse')
    ]
    assert all(0 <= row['mean'] <= 100 for row in rows)


@pytest.mark.parametrize('arguments, named', [(['trainings'], 'trainings'), (['training', '--out', 'mine'], 'mine.md')])
def test_mistakes_end_before_the_first_measurement(arguments, named, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(measurements.PARTS, 'training', pytest.fail)
    (tmp_path / 'mine.md').write_text('my notes')
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2 and named in capsys.readouterr().err
    assert (tmp_path / 'mine.md').read_text() == 'my notes'
