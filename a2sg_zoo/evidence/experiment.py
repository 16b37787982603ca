"""The experiment behind docs/why_it_works.md: training, measuring, and writing the document."""

import math
import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tqdm import tqdm

from a2sg_zoo.analysis.compare import Group, compare
from a2sg_zoo.analysis.compare.measurements import SECTIONS
from a2sg_zoo.analysis.loading import load_batches, load_network
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.report import Report
from a2sg_zoo.analysis.runs import read_runs
from a2sg_zoo.analysis.sections import SECTIONS as SECTIONS_OF_ONE
from a2sg_zoo.analysis.settings import COMPARISON as SETTINGS
from a2sg_zoo.benchmark.suites.job import machine
from a2sg_zoo.benchmark.suites.plan import Run, plan
from a2sg_zoo.benchmark.suites.runner import run_suite, survey
from a2sg_zoo.benchmark.suites.suite import Suite, read_suite
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.evidence import exactness
from a2sg_zoo.evidence.document import write_document
from a2sg_zoo.evidence.paper import A2SG, FIXED_ASY, FIXED_BOX, FIXED_TRI, STASG, evaluate
from a2sg_zoo.evidence.theory import HIDDEN, Row, growth_rows, pixels, theorem_tables
from a2sg_zoo.hub.files import check_output
from a2sg_zoo.registry import DATASETS, POLICIES

_NAMES = dict(cifar10_subset='CIFAR-10 images', digits='digits')
_METHODS = dict(tri=FIXED_TRI, box=FIXED_BOX, asy=FIXED_ASY, stasg=STASG, a2sg=A2SG, a2sg_rarely='A2SG, now and then')
# settings of the pictures of one network: a grid of 15 x 15
_SHOWN = dict(points=15, span=0.5, dimensions=2)


def write(args: Namespace) -> None:
    """Train what is missing, measure it, and write the document.

    Args:
        args: arguments of `a2sg-zoo why_it_works`.

    Raises:
        ConfigError: there are no images, a run failed, or the document cannot be written.
    """
    check_output(Path(args.out, 'why_it_works.md'), 'why_it_works')
    suite = read_suite(args.suite)
    suite.seeds = list(range(args.seeds))
    runs = plan(suite)
    _check_data(runs)
    _train(suite, runs, args)
    groups, failed = _measure(runs, args)
    digits = next(run for run in runs if run.dataset == 'digits')
    growths = growth_rows(*pixels(_objective(args.work / 'work' / digits.name, args.work)))
    theorems = theorem_tables()
    claims = evaluate(groups, theorems, growths)
    command = 'a2sg-zoo why_it_works --data CIFAR10_FOLDER' + f' --seeds {args.seeds}' * (args.seeds != 3)
    write_document(
        args.out,
        groups,
        claims,
        theorems,
        growths,
        command,
        _facts(suite, runs, groups, args),
        _numbers(runs, groups, theorems, growths),
        failed,
        _shown(groups, args.work),
        exactness.tables(),
    )
    print('\n'.join(f'{claim.verdict:13} {claim.text}' for claim in claims))
    print(f'\n{args.out}/why_it_works.md is written')


def _check_data(runs: Sequence[Run]) -> None:
    """Raise ConfigError before anything is trained if there are no images."""
    for root in {run.config.get('data_root') for run in runs} - {None}:
        if not (Path(root) / 'train').is_dir():
            raise ConfigError(
                f'{root} has no folder train/ of images; name the folder of CIFAR-10 as image files with --data'
            )


def _train(suite: Suite, runs: Sequence[Run], args: Namespace) -> None:
    left = len(survey(runs, args.work).to_do)
    problems = []
    with tqdm(total=left, unit='run', desc='training', smoothing=0.1) as bar:

        def report(run, result):
            if result['status'] == 'failed':
                problems.append(f'{run.name}: {result["reason"]}')
            bar.update()

        run_suite(suite, runs, args.work, shlex.join(['python', *sys.argv]), report=report, workers=args.workers)
    if problems:
        raise ConfigError(
            f'{len(problems)} runs failed; their logs are in {args.work}/work; run the same command again to repeat '
            f'them: {"; ".join(problems)}'
        )


def _measure(runs: Sequence[Run], args: Namespace) -> tuple[dict[str, Group], dict[Path, str]]:
    """{data set: measured runs}, and {folder of a run: why it could not be measured}."""
    # the suite names the methods; the facts of the document say how they differ
    folders = [
        replace(folder, method=_METHODS[run.method])
        for run, folder in zip(runs, read_runs([args.work / 'work' / run.name for run in runs]))
    ]
    datasets = {args.work / 'work' / run.name: run.dataset for run in runs}
    with tqdm(total=len(folders), unit='run', desc='measuring', smoothing=0.1) as bar:

        def report(run, error):
            if error:
                bar.write(f'{run.name}: not measured: {error}')
            bar.update()

        groups, failed = compare(
            folders, list(SECTIONS), args.work / 'measures', dict(samples=args.samples), args.workers, report
        )
    return {_NAMES.get(name, name): group for group in groups for name in [datasets[group.entries[0].run.path]]}, failed


def _objective(folder: Path, work: Path, samples: int = 64) -> Objective:
    (run,) = read_runs([folder])
    cfg = prepare_config(run.config)
    cfg.work_dir = str(work / 'measures' / 'log')
    model = load_network(cfg, run.checkpoint)
    return Objective(model, load_batches(cfg, model, samples=samples, batch_size=64))


def _shown(groups: Mapping[str, Group], work: Path) -> tuple[str, dict[str, Figure]]:
    """What the pictures of one network show, and {name: figure}."""
    name, group = next(iter(groups.items()))
    run = group.methods[A2SG][0].run
    report = Report(_objective(run.path, work, int(SETTINGS['samples'])), work / 'measures' / 'shown', settings=_SHOWN)
    figures = {
        stem: figure
        for section in ('landscape', 'energy', 'rasters')
        for stem, figure in SECTIONS_OF_ONE[section](report)[2].items()
    }
    return (
        f'{name}, {run.method}, seed {run.seed}: the loss around the minimum in two random directions, the energy of '
        'each layer, and the spikes and feature maps of one image. `a2sg-zoo analyze RUN --what '
        'landscape,energy,rasters` draws these pictures of any run.'
    ), figures


def _facts(suite: Suite, runs: Sequence[Run], groups: Mapping[str, Group], args: Namespace) -> list[tuple[str, str]]:
    cfg, first = runs[0].config, {run.dataset: run for run in reversed(runs)}
    backbone, training = cfg.model.backbone, cfg.train_cfg.max_iters
    data = []
    for run in first.values():
        loader, group = run.config.train_dataloader, groups[_NAMES[run.dataset]]
        images = len(DATASETS.build(loader.dataset))
        tested = {entry.sections['accuracy']['test_samples'] for entry in group.entries}
        data.append(
            f'{_NAMES[run.dataset]}: {images:,} for training, {", ".join(f"{n:,}" for n in tested)} for the '
            f'test, {loader.dataset.size} x {loader.dataset.size} pixels, batches of {loader.batch_size}, '
            f'{training * loader.batch_size / images:.0f} passes'
        )
    methods = {run.method: run for run in reversed(runs)}
    policies = [
        f'{_METHODS[name]} is {POLICIES.build(methods[name].config.adaptation.policy)}' for name in suite.methods
    ]
    return [
        (
            'network',
            f'{backbone.type}, {_parameters(groups)} parameters, blocks {backbone.depths}, widths '
            f'{backbone.widths}, T = {backbone.T}',
        ),
        ('data', '; '.join(data)),
        ('methods', '; '.join(policies)),
        (
            'training',
            f'{training} steps of {cfg.optim_wrapper.optimizer.type}, learning rate '
            f'{cfg.optim_wrapper.optimizer.lr:g} for all, seeds 0 to {args.seeds - 1}, '
            f'configs/suites/{suite.name}.py',
        ),
        (
            'measured on',
            f'{args.samples} training images without augmentation, the same for all runs; accuracy on all test images',
        ),
        ('machine', machine()),
    ]


def _parameters(groups: Mapping[str, Group]) -> str:
    return ' and '.join(
        f'{n:,}' for n in sorted({entry.parameters for group in groups.values() for entry in group.entries})
    )


def _numbers(
    runs: Sequence[Run], groups: Mapping[str, Group], theorems: tuple[list[Row], list[Row]], growths: Sequence[Row]
) -> dict[str, Any]:
    """The values for the braces in `prose`."""
    cfg = runs[0].config
    betas = [beta for row in growths if row['growth'] for beta in row['growth'].betas] or [math.nan]
    adaptations = [run.config.adaptation for run in runs]
    return dict(
        log_interval=adaptations[0].log_interval,
        rarely=max(adaptation.policy.get('interval', 1) for adaptation in adaptations),
        rho=SETTINGS['rho'],
        cases=theorems[0][0]['cases'],
        width=HIDDEN,
        betas=f'{min(betas):g} to {max(betas):g}',
        parameters=_parameters(groups),
        steps=cfg.train_cfg.max_iters,
        sizes=' and '.join(
            f'{size} x {size}'
            for size in sorted({run.config.train_dataloader.dataset.size for run in runs}, reverse=True)
        ),
    )
