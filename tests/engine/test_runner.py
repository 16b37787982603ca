"""What a run shows in the terminal, and what it estimates."""

import logging
import time
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from a2sg_zoo.engine.hooks import ProgressHook, RunInfoHook
from a2sg_zoo.engine.hooks import progress as progress_module
from tests.engine import toy


def log_of(folder):
    return ''.join(path.read_text() for path in sorted(folder.glob('*/*.log')))


def test_the_terminal_shows_a_few_lines_and_the_file_all(tmp_path, capsys):
    runner = toy.runner(
        tmp_path,
        log_level='INFO',
        hooks=[RunInfoHook()],
        default_hooks=dict(logger=dict(type='LoggerHook', interval=3)),
        log_processor=dict(by_epoch=False),
    )
    runner.logger.warning('for people')
    runner.train()
    shown = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(shown) if 'loss: ' in line)
    assert first <= 3 and sum('Iter(train)' in line for line in shown) == 4
    assert any('for people' in line for line in shown)
    for part in ('System environment', 'AtomicCheckpointHook', 'This run:', 'for people', 'Iter(train)'):
        assert part in log_of(tmp_path)
    for part in ('System environment', 'AtomicCheckpointHook', 'This run:', 'deprecated'):
        assert not any(part in line for line in shown)


def test_a_hook_may_be_left_out(tmp_path):
    names = {type(hook).__name__ for hook in toy.runner(tmp_path, default_hooks=dict(progress=None)).hooks}
    assert 'ProgressHook' not in names and {'AtomicCheckpointHook', 'ResumeHook'} <= names


def test_errors_of_the_file_other_than_of_the_system_are_not_hidden(tmp_path, capsys):
    """As logging has it: a mistake in a call is shown, and ends nothing."""
    runner = toy.runner(tmp_path, log_level='INFO')
    runner.logger.info('%d', 'no number')
    assert 'Logging error' in capsys.readouterr().err


# progress


class Clocked:
    """As much of a runner as the hook touches, with the given seconds for each step."""

    def __init__(self, seconds, max_iters, start=0):
        self.seconds, self.max_iters, self.iter, self.rank = seconds, max_iters, start, 0
        self.lines = []
        self.logger = SimpleNamespace(info=self.lines.append)
        self.message_hub = MessageHub(f'clocked{id(self)}')

    def run(self):
        hook, left = ProgressHook(), []
        hook.before_train(self)
        for seconds in self.seconds:
            hook.before_train_iter(self, 0)
            self.message_hub.update_scalar('train/time', seconds)
            hook.after_train_iter(self, 0)
            left.append(self.message_hub.get_info('eta'))
            self.iter += 1
        return left


def test_the_first_step_does_not_spoil_the_estimate():
    left = Clocked([60.0] + [0.5] * 9, max_iters=100).run()
    assert left[1:] == pytest.approx([0.5 * (100 - i) for i in range(2, 11)])


def test_steps_that_search_now_and_then_count_by_their_share():
    seconds = [9.0] + [2.0 if i % 20 == 0 else 0.1 for i in range(1, 200)]
    left = Clocked(seconds, max_iters=1200).run()
    assert left[-1] == pytest.approx(1000 * (5 * 2.0 + 95 * 0.1) / 100)


def test_a_slow_first_step_is_announced_once(monkeypatch):
    monkeypatch.setattr(progress_module, '_PATIENCE', 0.05)
    for seconds, expected in ((0.3, 1), (0.0, 0)):
        runner, hook = Clocked([], max_iters=9), ProgressHook()
        hook.before_train(runner)
        for _ in range(3):
            hook.before_train_iter(runner, 0)
            time.sleep(seconds)
            runner.message_hub.update_scalar('train/time', seconds)
            hook.after_train_iter(runner, 0)
        time.sleep(0.1)
        assert len(runner.lines) == expected


def test_a_complete_run_says_so(tmp_path, capsys):
    toy.runner(tmp_path).train()
    toy.runner(tmp_path, resume=True, log_level='INFO').train()
    shown = capsys.readouterr().out
    assert '12 of 12' in shown and 'load_from' in shown


def test_the_level_of_the_log_is_kept(tmp_path):
    handlers = toy.runner(tmp_path, log_level='WARNING').logger.handlers
    assert {handler.level for handler in handlers} == {logging.WARNING}
