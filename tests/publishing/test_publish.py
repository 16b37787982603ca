"""From a run of a few steps to weights that say what they are; cards that say what the index says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from PIL import Image

import a2sg_zoo
from a2sg_zoo.datasets import Digits
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.checkpoint import read_checkpoint
from a2sg_zoo.hub.index import SHIPPED, read_index, write_index
from a2sg_zoo.publishing import generated
from a2sg_zoo.publishing.cards import card
from a2sg_zoo.publishing.generated import check
from a2sg_zoo.publishing.publish import publish
from tests.cli import test_classification as classification
from tests.hub.tiny import facts as tiny_facts
from tests.hub.tiny import publish as publish_tiny
from tests.publishing.run_notes import log_of, note

ROOT = Path(__file__).resolve().parents[2]


def test_the_entry_of_a_classifier(published, digits):
    found = a2sg_zoo.info('small_digits')
    assert found['recipe']['seed'] == 3 and found['recipe']['iterations'] == 4 and found['recipe']['method'] == 'A2SG'
    assert found['recipe']['batch_size'] == 8 and found['recipe']['learning_rate'] == 5e-4
    assert found['recipe']['optimizer'].startswith('AdamW, ') and 'variable' not in found['recipe']
    assert found['T'] == 2 and found['limits'] == ['Too short.'] and found['data']['id'] == 'digits'
    assert all(len(beta) == 2 for beta in found['beta'].values()) and len(found['beta']) > 5
    assert found['firing_rates'].keys() == found['beta'].keys()
    assert all(0 <= rate <= 1 for rate in found['firing_rates'].values()) and any(found['firing_rates'].values())
    assert 'mean of 64 test images' in found['energy']['assumptions']
    assert 0 < found['energy']['microjoule'] < found['energy']['microjoule as an ANN']
    command = shlex.split(found['recipe']['command'])
    assert command[:3] == ['python', 'tools/train.py', classification.CONFIG] and '--work-dir' not in command
    assert command[3:6] == ['--seed', '3', '--demo'] and command[7:] == classification.SMALL
    log = [json.loads(line) for line in log_of(published / 'cards', 'small_digits').read_text().splitlines()]
    assert {record['iter']: record['loss'] for record in log if 'loss' in record} == classification.losses(digits)
    assert check(read_index(), published / 'cards') == []


def test_the_commands_on_the_card_give_its_figures(published):
    """The evaluation command, as it is printed, in another process."""
    found = a2sg_zoo.info('small_digits')
    done = subprocess.run(
        [
            sys.executable,
            *shlex.split(found['recipe']['evaluation'])[1:3],
            'zoo:small_digits',
            '--work-dir',
            published / 'eval',
            '--out',
            published / 'result.json',
            *shlex.split(found['recipe']['evaluation'])[4:],
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((published / 'result.json').read_text())['metrics'] == pytest.approx(found['metrics'], abs=1e-4)
    assert f'\n{found["recipe"]["evaluation"]}\n' in (published / 'cards' / 'small_digits.md').read_text()


def test_pictures_give_the_accuracy_on_the_card(published, tmp_path):
    data = Digits(train=False, size=8)
    (tmp_path / 'pictures').mkdir()
    for i, image in enumerate(data.images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / 'pictures' / f'{i:03}.png')
    infer = a2sg_zoo.ImageClassifierInferencer('small_digits', 'cpu')
    predictions = infer(tmp_path / 'pictures', batch_size=64)['predictions']
    right = np.mean([found['label'] == label for found, label in zip(predictions, data.labels)])
    assert 100 * right == pytest.approx(a2sg_zoo.info('small_digits')['metrics']['top1'], abs=1e-4)


def test_a_checkpoint_of_a_run_predicts_too(published, digits):
    """Its config is parsed, not run; the published file differs from it by rounding alone."""
    image = Digits(train=False, size=8).images[5].permute(1, 2, 0).numpy()
    ours, theirs = (
        a2sg_zoo.ImageClassifierInferencer(model, 'cpu')(image)['predictions'][0]['scores']
        for model in ('small_digits', digits / 'iter_4.pth')
    )
    assert np.allclose(ours, theirs, atol=0.05)


def test_a_checkpoint_that_was_chosen_on_the_test_images(digits, zoo, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(digits, run, ignore=shutil.ignore_patterns('best_*'))
    best = shutil.copy(run / 'iter_2.pth', run / 'best_top1_iter_2.pth')
    os.utime(best)  # the newest
    arguments = dict(summary='X.', facts=dict(limits=['Too short.']), cards_folder=zoo / 'cards')
    last = publish(run, 'last', **arguments)[1]
    assert last['recipe']['iterations'] == 4 and last['limits'] == ['Too short.']
    chosen = publish(best, 'best', **arguments)[1]
    assert chosen['recipe']['iterations'] == 2 and chosen['limits'][0] == 'Too short.'
    assert len(chosen['limits']) == 2
    assert f'- {chosen["limits"][1]}\n' in (zoo / 'cards' / 'best.md').read_text()
    command = [*json.loads((run / 'run.json').read_text())['command'], 'val_dataloader.dataset.train=True']
    elsewhere = publish(best, 'elsewhere', command=command, **arguments)[1]
    assert elsewhere['limits'] == ['Too short.']


def test_a_run_in_a_copied_folder(digits, zoo, tmp_path):
    """Its `last_checkpoint` names the file in the first folder."""
    run = tmp_path / 'run'
    shutil.copytree(digits, run)
    contents = read_checkpoint(run / 'iter_4.pth')
    contents['meta']['seed'] = 5
    torch.save(contents, run / 'iter_4.pth')
    assert publish(run, 'x', 'X.', cards_folder=zoo / 'cards')[1]['recipe']['seed'] == 5


@pytest.mark.slow
def test_the_entry_of_a_segmentor(scenes, zoo, tool):
    folder, root = scenes
    tool.main([str(folder), '--name', 'scenes', '--summary', 'Drawn.', '--cards', str(zoo / 'cards')])
    found = a2sg_zoo.info('scenes')
    assert '/' not in ''.join(option for option in shlex.split(found['recipe']['command']) if 'data_root' in option)
    assert {row['class'] for row in found['per_class']} <= {'building', 'sky', 'tree', 'road', 'person', 'car'}
    assert found['energy']['additions caused by spikes'] > 0
    assert 'mean of 3 test images' in found['energy']['assumptions']
    text = (zoo / 'cards' / 'scenes.md').read_text()
    assert all(f'| {row["class"]} | {row["IoU"]:.2f} | ' in text for row in found['per_class'])
    assert check(read_index(), zoo / 'cards') == []
    right = counted = 0
    infer = a2sg_zoo.SegmentationInferencer('scenes', 'cpu')
    for prediction in infer(root / 'images' / 'validation', batch_size=2)['predictions']:
        path = root / 'annotations' / 'validation' / Path(prediction['input']).with_suffix('.png').name
        truth = np.asarray(Image.open(path)).astype(int) - 1
        right += ((prediction['mask'] == truth) & (truth >= 0)).sum()
        counted += (truth >= 0).sum()
    assert 100 * right / counted == pytest.approx(found['metrics']['aAcc'], abs=1e-3)


def test_the_hub_understands_a_card(published):
    found = huggingface_hub.ModelCard.load(published / 'cards' / 'small_digits.md')
    results = {result.metric_name: result for result in found.data.eval_results}
    assert found.data.license == 'apache-2.0' and found.data.pipeline_tag == 'image-classification'
    assert found.data.model_name == 'small_digits' and results['top1'].metric_type == 'accuracy'
    assert {name: result.metric_value for name, result in results.items()} == a2sg_zoo.info('small_digits')['metrics']
    assert results['top1'].dataset_type == 'digits'


def test_cards_are_the_hubs(published, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(ConfigError, match=r'huggingface_hub.*a2sg-zoo\[hub\]'):
        check(read_index(), published / 'cards')


def test_a_name_is_taken_once(published, digits):
    again = dict(run=digits, name='small_digits', summary='Again.', cards_folder=published / 'cards')
    with pytest.raises(ConfigError, match='index.json.*small_digits.*--replace'):
        publish(**again)
    assert a2sg_zoo.info('small_digits')['summary'] == 'Small.'
    publish(**again, replace=True)
    assert a2sg_zoo.info('small_digits')['summary'] == 'Again.' and check(read_index(), published / 'cards') == []


def test_what_others_publish_meanwhile_stays(digits, zoo, tmp_path_factory, monkeypatch):
    """The index is read again when it is written; and a name that was taken meanwhile is refused."""
    from a2sg_zoo.publishing import publish as module

    evaluate = module.entries.scores
    theirs = tiny_facts(publish_tiny(tmp_path_factory.mktemp('theirs'))[1], 'weights/theirs.safetensors')

    def slow(*args):
        write_index({'theirs': theirs}, zoo / 'index.json')
        return evaluate(*args)

    monkeypatch.setattr(module.entries, 'scores', slow)
    publish(digits, 'mine', 'Mine.', cards_folder=zoo / 'cards')
    assert a2sg_zoo.list_models() == ['mine', 'theirs']
    with pytest.raises(ConfigError, match='index.json.*theirs.*--replace'):
        write_index({}, zoo / 'index.json')
        publish(digits, 'theirs', 'Mine.', cards_folder=zoo / 'cards')
    assert a2sg_zoo.info('theirs')['summary'] == 'A tiny network.'


@pytest.mark.parametrize(
    'changes, key',
    [
        (dict(commit=None), '--any-commit'),
        (dict(commit='12ab+changes'), '12ab.*--any-commit'),
        (dict(start_iter=2), ' 2.*--resume'),
    ],
)
def test_what_nobody_can_repeat(digits, zoo, tmp_path, changes, key):
    run = tmp_path / 'run'
    shutil.copytree(digits, run)
    note(run, **changes)
    with pytest.raises(ConfigError, match=f'{run}.*{key}'):
        publish(run, 'x', 'X.', cards_folder=zoo / 'cards')
    assert not read_index()


def test_what_is_published_all_the_same_says_so(digits, zoo, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(digits, run)
    command = [*json.loads((run / 'run.json').read_text())['command'], '--resume', '/other/iter_2.pth']
    note(run, commit='12ab+changes', start_iter=2, command=command)
    _, entry = publish(run, 'x', 'X.', cards_folder=zoo / 'cards', any_commit=True)
    recipe = entry['recipe']
    assert recipe['commit'] == '12ab+changes' and recipe['resumed_at'] == 2
    assert '--resume iter_2.pth' in recipe['command'] and '| resumed at | 2 |' in card(entry)


def test_the_command_of_several_processes(digits, zoo, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(digits, run)
    words = json.loads((run / 'run.json').read_text())['command']
    note(run, world_size=2, command=[*words[:2], '--launcher', 'pytorch', '--local-rank', '1', *words[2:]])
    recipe = publish(run, 'x', 'X.', cards_folder=zoo / 'cards')[1]['recipe']
    assert recipe['batch_size'] == 16 and shlex.split(recipe['command'])[:10] == [
        'torchrun',
        '--nproc-per-node',
        '2',
        'tools/train.py',
        classification.CONFIG,
        '--seed',
        '3',
        '--launcher',
        'pytorch',
        '--demo',
    ]


def test_check_finds_what_is_not_in_order(published, tool, capsys):
    folder = published / 'cards'
    tool.main(['--check', '--cards', str(folder)])
    assert '1 weights' in capsys.readouterr().out
    page = folder / 'small_digits.md'
    page.write_text(page.read_text().replace('Small.', 'The best.'))
    log_of(folder, 'small_digits').unlink()
    (folder / 'older.md').write_text('')
    entry = read_index()['small_digits'].facts
    write_index({'small_digits': {**entry, 'parameters': 7, 'T': 3}}, published / 'index.json')
    with pytest.raises(SystemExit):
        tool.main(['--check', '--cards', str(folder)])
    problems = capsys.readouterr().err
    for named in (r'small_digits\.md', r'small_digits-\w+\.log', r'older\.md', r'parameters = 7\b', r'T = 3\b.*\b2'):
        assert re.search(named, problems)
    entries = read_index()
    (file,) = (published / 'weights').iterdir()
    file.write_bytes(b'x')
    assert any(str(file) in problem for problem in check(entries, folder))
    file.unlink()
    # the entries are those that are given, whatever index is in use
    write_index({}, published / 'index.json')
    assert any(str(file) in problem for problem in check(entries, folder))


def test_update_makes_cards_again(published, tool, capsys):
    folder = published / 'cards'
    page = folder / 'small_digits.md'
    right = page.read_text()
    page.write_text('An older version.')
    (folder / 'small_digits.svg').unlink()
    arguments = ['--cards', str(folder)]
    with pytest.raises(SystemExit):
        tool.main(['--check', *arguments])
    capsys.readouterr()
    tool.main(['--update', *arguments])
    assert str(page) in capsys.readouterr().out and page.read_text() == right
    tool.main(['--check', *arguments])


def test_an_index_of_ones_own_begins_with_its_first_weights(digits, zoo, tool, monkeypatch, capsys):
    index = zoo / 'deep' / 'mine.json'
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(index))
    arguments = [str(digits), '--name', 'mine', '--summary', 'Mine.']
    shipped = sorted((ROOT / 'model_cards').iterdir())
    with pytest.raises(SystemExit):  # what is not there cannot be read
        tool.main(['--check'])
    assert str(index) in capsys.readouterr().err
    tool.main(arguments)
    assert f'card: {zoo / "deep" / "model_cards" / "mine.md"}' in capsys.readouterr().out
    assert sorted(path.name.partition('-')[0] for path in (zoo / 'deep' / 'model_cards').iterdir()) == [
        'mine',
        'mine.md',
        'mine.svg',
    ]
    assert a2sg_zoo.list_models() == ['mine'] and sorted((ROOT / 'model_cards').iterdir()) == shipped
    tool.main(['--check'])
    (zoo / 'file').write_text('')
    monkeypatch.setenv('A2SG_ZOO_INDEX', str(zoo / 'file' / 'mine.json'))
    with pytest.raises(SystemExit):
        tool.main(arguments)
    assert str(zoo / 'file' / 'mine.json') in capsys.readouterr().err


@pytest.mark.slow
def test_an_installed_package_is_checked_but_not_published_to(digits, tmp_path):
    """Laid out as the wheel does, without the checkout's cards."""
    package = tmp_path / 'site' / 'a2sg_zoo'
    package.mkdir(parents=True)
    for path in [*(ROOT / 'a2sg_zoo').iterdir(), ROOT / 'tools']:
        (package / path.name).symlink_to(path)
    env = {key: value for key, value in os.environ.items() if key != 'A2SG_ZOO_INDEX'}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, '-m', 'a2sg_zoo.cli.publish', *arguments],
            cwd=tmp_path,
            text=True,
            capture_output=True,
            env={**env, 'PYTHONPATH': str(tmp_path / 'site')},
        )

    done = run('--check')
    assert done.returncode == 0 and f'{len(read_index(SHIPPED))} weights' in done.stdout, done.stderr
    done = run(str(digits), '--name', 'mine', '--summary', 'Mine.', '--cards', str(tmp_path / 'cards'))
    assert done.returncode == 2 and 'A2SG_ZOO_INDEX' in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['site']


def test_weights_that_lie_elsewhere(digits, zoo):
    path, entry = publish(
        digits / 'iter_2.pth',
        'last',
        'Last.',
        location='https://example.org/last.safetensors',
        cards_folder=zoo / 'cards',
    )
    assert path.parent == digits and path.name.startswith('last-') and not (zoo / 'weights').exists()
    assert (zoo / 'cards' / 'last.log.jsonl').is_file()
    assert entry['recipe']['iterations'] == 2 and entry['location'].startswith('https:')
    path.unlink()


@pytest.mark.parametrize(
    'arguments, key',
    [
        (dict(name='../up'), '../up'),
        (dict(facts=dict(metrics=dict(top1=100))), 'facts: metrics'),
        (dict(facts=dict(limits='x')), 'x.limits'),
        (dict(facts=[]), 'facts must be a dictionary'),
        (dict(facts='limits'), 'facts must be a dictionary'),
        (dict(summary='\x1b[2J'), 'x.summary'),
        (dict(location='x.pth'), 'x.location'),
        (dict(location='https://me:hunter2@host/x.safetensors'), 'x.location = https://host/x'),
        (dict(command='python train.py configs/resnet19_cifar10_tri.py'), 'resnet19_cifar10_tri.*--command'),
        (dict(run='work_dirs/none'), 'work_dirs/none'),
        (dict(command='make'), 'make.*--command'),
        (dict(command='a2sg-zoo test x.py'), 'a2sg-zoo test x.py.*--command'),
        (dict(command='python tools/train.py x.py --sed 3'), '--sed 3'),
        (dict(command='python tools/train.py'), '--command'),
    ],
)
def test_mistakes_leave_nothing_behind(digits, zoo, arguments, key):
    with pytest.raises(ConfigError, match=key):
        publish(**{**dict(run=digits, name='x', summary='X.', cards_folder=zoo / 'cards'), **arguments})
    assert sorted(path.name for path in zoo.iterdir()) == ['index.json'] and not read_index()


def test_no_weights_without_their_log(digits, zoo, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(digits, run)
    for log in run.glob('*/vis_data/scalars.json'):
        log.unlink()
    with pytest.raises(ConfigError, match='scalars.json'):
        publish(run, 'x', 'X.', cards_folder=zoo)
    (run / 'run.json').unlink()
    with pytest.raises(ConfigError, match='run.json'):
        publish(run, 'x', 'X.', cards_folder=zoo)


def test_too_large_to_ship(digits, zoo, monkeypatch):
    monkeypatch.setattr(generated, 'MEGABYTES_EACH', 0.01)
    with pytest.raises(ConfigError, match='x.* 0.1 MB.* --location'):
        publish(digits, 'x', 'X.', cards_folder=zoo / 'cards')
