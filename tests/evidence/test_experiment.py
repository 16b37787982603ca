"""The experiment takes its training scores from the results of the runs."""

from types import SimpleNamespace

import pytest

from a2sg_zoo.analysis.compare import Entry
from a2sg_zoo.cli.why_it_works import main
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


def test_a_suite_whose_runs_do_not_score_training_images_is_refused(tmp_path, capsys):
    (tmp_path / 'suite.py').write_text(
        "name = 'suite'\n"
        "networks = dict(resnet='a2sg_zoo::_base_/models/resnet_small.py')\n"
        "datasets = dict(digits_few='a2sg_zoo::_base_/datasets/digits.py')\n"
        "methods = ['tri', 'a2sg']\n"
        "common = ['a2sg_zoo::_base_/schedules/short_sgd.py', 'a2sg_zoo::_base_/default_runtime.py']\n"
        "seeds = [0]\nreference = 'tri'\n"
    )
    folders = ['--out', str(tmp_path), '--work', str(tmp_path / 'work')]
    with pytest.raises(SystemExit) as stopped:
        main(['--suite', str(tmp_path / 'suite.py'), *folders])
    assert stopped.value.code == 2 and 'custom_hooks' in capsys.readouterr().err
    assert not (tmp_path / 'work').exists()
