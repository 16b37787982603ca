"""The experiment takes its training scores from the results of the runs."""

from types import SimpleNamespace

import pytest

from a2sg_zoo.analysis.compare import Entry
from a2sg_zoo.cli.why_it_works import main
from a2sg_zoo.evidence import experiment
from a2sg_zoo.evidence.experiment import add_scores

RESULT = dict(metrics=dict(train_top1=98.0, train_loss=0.1), search=dict(low=0.2, high=0.5, mean=1.4))


def test_scores_of_all_training_images_replace_those_of_a_sample():
    sampled = dict(accuracy=60.0, test_loss=1.5, train_accuracy=90.0, train_loss=0.3, gap=1.2)
    entry = Entry(SimpleNamespace(method='A2SG'), dict(accuracy=dict(values=sampled)), 10)
    add_scores(entry, RESULT)
    assert entry.values == dict(
        accuracy=60.0,
        test_loss=1.5,
        train_accuracy=98.0,
        train_loss=0.1,
        gap=pytest.approx(1.4),
        accuracy_gap=38.0,
        width_low=0.2,
        width_high=0.5,
    )


@pytest.mark.parametrize('options', ['', ' --seeds 5 --samples 512 --suite my/suite.py'])
def test_the_page_names_a_command_that_repeats_it(options, monkeypatch):
    written = []
    monkeypatch.setenv('CIFAR10_FOLDER', '')
    monkeypatch.setattr(experiment, 'write', written.append)
    main(['--data', '/my/images', '--workers', '1', *options.split()])
    assert written[0].command == f'a2sg-zoo why_it_works --data CIFAR10_FOLDER{options}'


def refused(tmp_path, capsys, methods, datasets, networks):
    """What the command says of a suite that it refuses before anything is trained."""
    (tmp_path / 'suite.py').write_text(
        "name = 'suite'\n"
        f"networks = dict.fromkeys({networks}, 'a2sg_zoo::_base_/models/resnet_small.py')\n"
        f"datasets = dict.fromkeys({datasets}, 'a2sg_zoo::_base_/datasets/digits.py')\n"
        f'methods = {methods}\n'
        "common = ['a2sg_zoo::_base_/schedules/short_sgd.py', 'a2sg_zoo::_base_/default_runtime.py']\n"
        "seeds = [0]\nreference = 'tri'\n"
    )
    folders = ['--out', str(tmp_path), '--work', str(tmp_path / 'work')]
    with pytest.raises(SystemExit) as stopped:
        main(['--suite', str(tmp_path / 'suite.py'), *folders])
    assert stopped.value.code == 2 and not (tmp_path / 'work').exists()
    return capsys.readouterr().err


def test_a_suite_whose_runs_do_not_score_training_images_is_refused(tmp_path, capsys):
    methods = ['tri', 'box', 'asy', 'stasg', 'a2sg']
    assert 'custom_hooks' in refused(tmp_path, capsys, methods, ['digits_few'], ['resnet'])


def test_a_suite_of_other_methods_or_data_is_refused(tmp_path, capsys):
    error = refused(tmp_path, capsys, ['tri', 'a2sg', 'atan'], ['mine'], ['small', 'large'])
    for problem in (
        'methods lacks asy, box, stasg',
        'methods may not have atan',
        'datasets lacks digits_few',
        'large, small',
    ):
        assert problem in error
