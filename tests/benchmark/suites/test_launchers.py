"""Jobs that end well, die, raise and hang, with each launcher."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from a2sg_zoo.benchmark.suites.job import Job
from a2sg_zoo.benchmark.suites.launchers import local, ray, slurm
from a2sg_zoo.errors import ConfigError


def act(job):
    """What a job does here: its work_dir tells."""
    if job.work_dir == 'die':
        os.kill(os.getpid(), signal.SIGKILL)
    if job.work_dir == 'raise':
        raise RuntimeError('this job raises')
    if job.work_dir == 'hang':
        time.sleep(600)
    Path(job.folder, job.work_dir).write_text(f'{job.threads} {os.getpid()}')


def jobs(folder, *names):
    return [Job(str(folder), name, '', {}) for name in names]


def reasons(ended):
    return {job.work_dir: reason for job, reason in ended}


def test_local(tmp_path):
    ended = reasons(local(jobs(tmp_path, 'a', 'die', 'b', 'raise', 'hang', 'c'), act, workers=2, timeout=12))
    assert ended == dict(
        a='',
        b='',
        c='',
        die='the process was killed by signal 9',
        **{'raise': 'the process ended with status 1'},
        hang='hung: killed after 12 s',
    )
    files = [(tmp_path / name).read_text().split() for name in 'abc']
    assert len({pid for _, pid in files}) == 3  # a process each
    assert {int(threads) for threads, _ in files} == {max(1, os.cpu_count() // 2)}


def test_a_caller_that_stops_leaves_no_process(tmp_path):
    running = local(jobs(tmp_path, 'a', 'hang', 'hang'), act, workers=3, timeout=500)
    assert next(running)[1] == ''
    running.close()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_ray(tmp_path):
    pytest.importorskip('ray')
    ended = reasons(ray(jobs(tmp_path, 'a', 'die', 'raise', 'b'), act, workers=2, timeout=60))
    assert ended['a'] == ended['b'] == '' and 'signal 9' in ended['die'] and 'status 1' in ended['raise']
    assert (tmp_path / 'a').exists() and (tmp_path / 'b').exists()


@pytest.mark.slow
def test_slurm_by_its_local_executor(tmp_path):
    pytest.importorskip('submitit')
    ended = reasons(
        slurm(jobs(tmp_path, 'a', 'raise', 'b'), act, timeout=60, folder=tmp_path / 'slurm', executor='local')
    )
    assert ended['a'] == ended['b'] == '' and 'this job raises' in ended['raise']


class NoCluster(ModuleType):
    """Stands in for Ray where no cluster runs: it knows which clusters were looked for and started."""

    def __init__(self):
        super().__init__('ray')
        self.asked = []

    def init(self, address=None, num_cpus=None, **options):
        self.asked.append((address, num_cpus))
        if address is not None:
            raise ConnectionError('no cluster')

    is_initialized = staticmethod(lambda: False)
    cluster_resources = staticmethod(dict)
    remote = staticmethod(lambda **options: lambda function: function)


def test_a_cluster_of_ray_is_looked_for_before_one_is_started(monkeypatch):
    stand_in = NoCluster()
    monkeypatch.setitem(sys.modules, 'ray', stand_in)
    monkeypatch.delenv('RAY_ADDRESS', raising=False)
    assert list(ray([], act, workers=2)) == [] and stand_in.asked == [('auto', None), (None, 2)]
    with pytest.raises(ConfigError, match='here:1'):
        next(ray([], act, address='here:1'))
    monkeypatch.setenv('RAY_ADDRESS', 'there:2')
    with pytest.raises(ConfigError, match='there:2'):
        next(ray([], act))
