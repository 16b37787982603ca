"""Launchers: where the jobs of a suite run. On this machine, on a Ray cluster, or under Slurm.

A launcher takes jobs and yields (job, reason) whenever one ends. The reason is '' if its process ended well, and says
otherwise what happened. Whatever happens to one job leaves the others alone.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch

from a2sg_zoo.benchmark.suites.job import Job
from a2sg_zoo.errors import ConfigError

_Execute = Callable[[Job], None]
_Ended = Iterator[tuple[Job, str]]


def local(jobs: Sequence[Job], execute: _Execute, workers: int = 1, timeout: float = 3600) -> _Ended:
    """Run each job in a fresh process of this machine and share out its cores or CUDA devices.

    Processes are forked from one that has imported everything and done nothing. So they start at once and share no
    state.

    Args:
        jobs: jobs to run.
        execute: function at the top level of a module that runs one.
        workers: jobs at a time.
        timeout: seconds after which a job counts as hung and is killed.

    Yields:
        Each job as it ends, and '' or the reason why it failed.
    """
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['a2sg_zoo.benchmark.suites.job'])
    devices = torch.cuda.device_count()
    waiting, running = list(jobs)[::-1], {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                slot = min(set(range(workers)) - {slot for _, _, slot in running.values()})
                job.threads = max(1, (os.cpu_count() or 1) // workers)
                job.device = slot % devices if devices else None
                process = context.Process(target=_child, args=(execute, job))
                process.start()
                running[process.sentinel] = process, (job, time.monotonic() + timeout), slot
            soonest = min(deadline for _, (_, deadline), _ in running.values())
            ended = wait(list(running), timeout=max(0, soonest - time.monotonic()))
            for sentinel, (process, (job, deadline), _) in list(running.items()):
                hung = sentinel not in ended and time.monotonic() >= deadline
                if hung:
                    process.kill()
                if hung or sentinel in ended:
                    process.join()
                    del running[sentinel]
                    yield job, f'hung: killed after {timeout:g} s' if hung else _ending(process.exitcode)
    finally:  # an interrupt, or a caller that stops early
        for process, *_ in running.values():
            process.kill()
        for process, *_ in running.values():
            process.join()


def _child(execute: _Execute, job: Job) -> None:
    parent = multiprocessing.parent_process()
    # a job ends with the command that started it, so it never runs beside its own repetition
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    execute(job)


def _ending(code: int) -> str:
    if code == 0:
        return ''
    return f'the process was killed by signal {-code}' if code < 0 else f'the process ended with status {code}'


def ray(
    jobs: Sequence[Job],
    execute: _Execute,
    workers: int | None = None,
    timeout: float = 3600,
    address: str | None = None,
) -> _Ended:
    """Run each job as a task of a Ray cluster, in a worker process of its own.

    All nodes must share the folder of the results.

    Args:
        jobs: jobs to run.
        execute: function at the top level of a module that runs one.
        workers: CPUs of a cluster that is started here; on an existing one, Ray decides how many run at a time.
        timeout: seconds after which a job counts as hung and is killed.
        address: address of the cluster. By default that of the environment, or else the one that runs on this machine,
            or else a new one.

    Yields:
        Each job as it ends, and '' or the reason why it failed.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address that is named.
    """
    try:
        import ray as cluster
    except ImportError as error:
        raise ConfigError('--launcher ray needs Ray: pip install "a2sg-zoo[ray]"') from error
    if not cluster.is_initialized():
        try:
            cluster.init(address=address or 'auto', log_to_driver=False)
        except ConnectionError as error:
            named = address or os.environ.get('RAY_ADDRESS')
            if named:
                raise ConfigError(f'--launcher ray: there is no cluster at {named} ({error})') from error
            cluster.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    gpus = 1 if cluster.cluster_resources().get('GPU') else 0
    # one task for each process, so that no state of a training reaches the next one
    task = cluster.remote(num_cpus=1, num_gpus=gpus, max_calls=1, max_retries=0)(_remote)
    pending = {task.remote(execute, job, timeout): job for job in jobs}
    try:
        while pending:
            done, _ = cluster.wait(list(pending), num_returns=1)
            for reference in done:
                job = pending.pop(reference)
                try:
                    yield job, cluster.get(reference)
                except (cluster.exceptions.RayError, OSError) as error:
                    yield job, (str(error).strip().splitlines() or [type(error).__name__])[-1]
    finally:
        for reference in pending:
            cluster.cancel(reference, force=True)


def slurm(
    jobs: Sequence[Job],
    execute: _Execute,
    workers: int = 16,
    timeout: float = 3600,
    folder: str | os.PathLike = 'slurm',
    executor: str | None = None,
    **parameters: Any,
) -> _Ended:
    """Run each job as a Slurm job, through submitit.

    Args:
        jobs: jobs to run.
        execute: function at the top level of a module that runs one.
        workers: jobs at a time.
        timeout: seconds that Slurm gives to a job, rounded up to minutes.
        folder: folder for submitit's scripts and logs. All nodes must share it.
        executor: name of another executor of submitit, such as 'local'.
        **parameters: parameters of submitit, such as slurm_partition='gpu', gpus_per_node=1.

    Yields:
        Each job as it ends, and '' or the reason why it failed.

    Raises:
        ConfigError: submitit is not installed.
    """
    try:
        import submitit
    except ImportError as error:
        raise ConfigError('--launcher slurm needs submitit: pip install "a2sg-zoo[slurm]"') from error
    queue = submitit.AutoExecutor(folder=Path(folder), cluster=executor)
    queue.update_parameters(timeout_min=-(-int(timeout) // 60), **parameters)
    for job in jobs:
        job.threads = int(parameters.get('slurm_cpus_per_task') or parameters.get('cpus_per_task') or 1)
    if queue.cluster == 'slurm':
        queue.update_parameters(slurm_array_parallelism=workers)
    with queue.batch():
        submitted = [(queue.submit(execute, job), job) for job in jobs]
    try:
        while submitted:
            for entry in list(submitted):
                handle, job = entry
                if handle.done():
                    submitted.remove(entry)
                    failure = handle.exception()
                    yield job, '' if failure is None else _last_words(failure)
            time.sleep(0.2)
    finally:
        for handle, _ in submitted:
            handle.cancel()


def _last_words(error: Exception) -> str:
    """The line of submitit's report that says what happened: the last one of the traceback, before its advice."""
    lines = [line for line in str(error).partition('You can check full logs')[0].splitlines() if line.strip(' -')]
    return lines[-1].strip() if lines else str(error)


def _remote(execute: _Execute, job: Job, timeout: float) -> str:
    """Run a job in a child of a Ray worker, so that a job that hangs can be killed. It has one thread, as its task."""
    return next(reason for _, reason in local([job], execute, workers=os.cpu_count() or 1, timeout=timeout))


LAUNCHERS: dict[str, Callable[..., _Ended]] = dict(local=local, ray=ray, slurm=slurm)
