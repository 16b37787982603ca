"""The command line itself: help, mistakes in arguments, Ctrl+C and closed pipes, as a user meets them."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from a2sg_zoo.cli import COMMANDS, main, summary
from a2sg_zoo.cli.parsing import at_least, errors_for_people
from a2sg_zoo.errors import ConfigError
from tests.cli.mistakes import mistake

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for group in COMMANDS.values() for name in group]
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}


def tool(name, *arguments, **kwargs):
    return subprocess.run(
        [sys.executable, f'tools/{name}.py', *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        **kwargs,
    )


def test_every_command_has_a_module_and_a_door():
    modules = {path.stem for path in (ROOT / 'a2sg_zoo' / 'cli').glob('*.py')} - {'__init__', 'parsing'}
    assert sorted(NAMES) == sorted(modules) == sorted(path.stem for path in (ROOT / 'tools').glob('*.py'))
    for name in NAMES:
        door = (ROOT / 'tools' / f'{name}.py').read_text()
        assert f'from a2sg_zoo.cli.{name} import main' in door and len(door.splitlines()) == 6


def test_help_lists_every_command_with_what_it_does(capsys):
    main(['--help'])
    said = capsys.readouterr().out
    for name in NAMES:
        assert any(line.split() == [name, *summary(name).split()] for line in said.splitlines())
        assert len(summary(name)) > 20 and summary(name).endswith('.')


def test_help_of_a_command_needs_no_torch():
    program = (
        'import contextlib, io, json, sys\nfrom a2sg_zoo.cli import COMMANDS, main\nsaid = {}\n'
        'for name in [name for group in COMMANDS.values() for name in group]:\n'
        '    with contextlib.redirect_stdout(io.StringIO()) as out:\n'
        '        try:\n            main([name, "--help"])\n'
        '        except SystemExit as end:\n            said[name] = [end.code, out.getvalue()]\n'
        'print(json.dumps([said, [*sys.modules]]))'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    said, modules = json.loads(done.stdout)
    assert {*said} == {*NAMES} and not {'torch', 'mmseg', 'mmcv', 'cv2', 'requests'} & {*modules}
    for name, (status, text) in said.items():
        assert status == 0 and text.startswith(f'usage: a2sg-zoo {name} ') and f'    a2sg-zoo {name}' in text


def test_help_of_a_door_takes_a_part_of_the_time_of_importing_torch():
    def seconds(*arguments):
        before = os.times()
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
        after = os.times()
        assert done.returncode == 0
        return after.children_user + after.children_system - before.children_user - before.children_system

    # the fastest of some runs: other processes of the machine take their share
    help_of_a_door = min(seconds('tools/train.py', '--help') for _ in range(3))
    assert help_of_a_door < 0.4 * min(seconds('-c', 'import torch') for _ in range(2))


@pytest.mark.parametrize(
    'arguments, parts',
    [
        (['train', 'x.py', '--sed', '3'], ['--sed', 'a2sg-zoo train --help']),
        (['train'], ['config']),
        (['train', 'x.py', '--seed', 'one'], ['--seed', 'one']),
        (['train', 'x.py', '--cfg-options', 'lr'], ['--cfg-options', 'lr', 'KEY=VALUE']),
        (['train', 'x.py', '--cfg-options', '=3'], ['--cfg-options', '=3']),
        (['train', 'x.py', '--cfg-options', 'a=[1,2'], ['--cfg-options', 'a=[1,2']),
        (['benchmark', 'x.py', '--workers', '0'], ['--workers', '0']),
        (['benchmark', 'x.py', '--launcher', 'kubernetes'], ['--launcher', 'kubernetes', 'slurm']),
        (['benchmark_speed', 'neurons'], ['neurons', 'resnet']),
        (['analyze', 'x', '--points', '1'], ['--points', '1']),
        (['compare_runs', 'x', '--out', 'y', '--batch-size', '0'], ['--batch-size', '0']),
        (['download'], ['--list']),
        (['download_dataset', 'svhn'], ['svhn', 'cifar10']),
        (['publish', 'run'], ['--name', '--summary']),
        (['verify', 'it'], ['it']),
        (['trian', 'x.py'], ['trian', 'train']),
        (['\x1b[2J'], ['\\x1b[2J']),
        (['--versoin'], ['--versoin']),
    ],
    ids=lambda value: ' '.join(value).encode('unicode_escape').decode(),
)
def test_a_mistake_in_the_arguments_is_one_line(arguments, parts, capsys):
    said = mistake(capsys, *arguments, quiet=True)
    assert all(part in said for part in parts)


def test_numbers_have_bounds():
    assert at_least(2)('2') == 2
    with pytest.raises(ValueError):
        at_least(2)('1.5')


def test_the_version(capsys):
    import a2sg_zoo

    main(['--version'])
    assert a2sg_zoo.__version__ in capsys.readouterr().out


def test_what_parsers_offer_is_what_there_is():
    from a2sg_zoo.analysis import sections, settings
    from a2sg_zoo.analysis.compare import measurements as compared
    from a2sg_zoo.benchmark.libraries import measurements as libraries
    from a2sg_zoo.benchmark.speed import measurements
    from a2sg_zoo.benchmark.suites import launchers
    from a2sg_zoo.cli import benchmark, benchmark_libraries, benchmark_speed

    assert settings.SECTIONS == (*sections.SECTIONS,) and settings.COMPARED == (*compared.SECTIONS,)
    assert benchmark.LAUNCHERS == (*launchers.LAUNCHERS,) and benchmark_speed.PARTS == (*measurements.PARTS,)
    assert benchmark_libraries.PARTS == (*libraries.PARTS,)


def test_errors_end_with_a_line_and_with_a_traceback_on_request(capsys, monkeypatch):
    with pytest.raises(SystemExit) as end, errors_for_people():
        raise ConfigError('x.py: lr')
    assert end.value.code == 2 and capsys.readouterr().err == '\nerror: x.py: lr\n'
    monkeypatch.setenv('A2SG_DEBUG', '1')
    with pytest.raises(ConfigError), errors_for_people():
        raise ConfigError('x.py: lr')


def test_ctrl_c_ends_with_one_line():
    running = subprocess.Popen(
        [sys.executable, 'tools/verify.py'],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # tests that a shell runs in its background ignore Ctrl+C, and so would their children
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stdout.readline()
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130 and said.endswith('\ninterrupted\n') and 'Traceback' not in said


def test_a_closed_pipe_ends_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, 'tools/download.py', '--list'],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode == 1 and done.stderr == ''
