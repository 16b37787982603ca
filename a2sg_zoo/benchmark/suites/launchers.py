"""Ways to execute jobs: processes of this machine, a Ray cluster, Slurm.

A launcher takes jobs and yields (job, reason) as each of them ends: reason is '' where the process ended well, and says
what happened otherwise. Nothing that happens to one job touches another.
"""

import multiprocessing
import os
import threading
import time
from multiprocessing.connection import wait
from pathlib import Path

import torch

from a2sg_zoo.errors import ConfigError


def local(jobs, execute, workers=1, timeout=3600):
    """Each job in a fresh process of this machine, `workers` at a time, with the cores or CUDA devices shared out.

    Processes are forked from one that has imported everything and done nothing, so that they start at once and share
    no state.

    Args:
        jobs: a list of `Job`.
        execute: a function of a module's top level that runs one.
        workers: how many at a time.
        timeout: seconds after which a job counts as hung and is killed.
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
    finally:  # an interrupt, or a caller that wants no more
        for process, *_ in running.values():
            process.kill()
        for process, *_ in running.values():
            process.join()


def _child(execute, job):
    parent = multiprocessing.parent_process()
    # no job goes on alone, and none meets its own repetition
    threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    execute(job)


def _ending(code):
    if code == 0:
        return ''
    return f'the process was killed by signal {-code}' if code < 0 else f'the process ended with status {code}'


def ray(jobs, execute, workers=None, timeout=3600, address=None):
    """Each job as a task of a Ray cluster, in a worker process of its own; `workers` is for Ray to decide.

    The folder of the results must be one that all nodes share.

    Args:
        address: of the cluster; None for that of the environment, or else a new one on this machine.
    """
    try:
        import ray as cluster
    except ImportError as error:
        raise ConfigError('--launcher ray needs Ray: pip install "a2sg-zoo[ray]"') from error
    if not cluster.is_initialized():
        cluster.init(
            address=address, num_cpus=workers if address is None else None, include_dashboard=False, log_to_driver=False
        )
    gpus = 1 if cluster.cluster_resources().get('GPU') else 0
    # one task a process, as state of a training is not to reach the next
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
                    yield job, str(error).strip().splitlines()[-1]
    finally:
        for reference in pending:
            cluster.cancel(reference, force=True)


def slurm(jobs, execute, workers=16, timeout=3600, folder='slurm', executor=None, **parameters):
    """Each job as a job of Slurm, `workers` at a time, by submitit.

    Args:
        folder: where submitit keeps its scripts and logs; shared by all nodes.
        executor: submitit's name of one; None for Slurm.
        **parameters: submitit's, such as slurm_partition='gpu', gpus_per_node=1.
    """
    try:
        import submitit
    except ImportError as error:
        raise ConfigError('--launcher slurm needs submitit: pip install "a2sg-zoo[slurm]"') from error
    queue = submitit.AutoExecutor(folder=Path(folder), cluster=executor)
    queue.update_parameters(timeout_min=-(-int(timeout) // 60), **parameters)
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
                    error = handle.exception()
                    yield job, '' if error is None else _last_words(error)
            time.sleep(0.2)
    finally:
        for handle, _ in submitted:
            handle.cancel()


def _last_words(error):
    """The line of submitit's report that says what happened: the last of the traceback, before its advice."""
    lines = [line for line in str(error).partition('You can check full logs')[0].splitlines() if line.strip(' -')]
    return lines[-1].strip() if lines else str(error)


def _remote(execute, job, timeout):
    """In a Ray worker: `execute` in a child process, so that a hung one can be killed."""
    for _, reason in local([job], execute, timeout=timeout):
        return reason


LAUNCHERS = dict(local=local, ray=ray, slurm=slurm)
