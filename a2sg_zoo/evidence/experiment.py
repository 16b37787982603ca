"""The experiment behind docs/why_it_works.md: training, measuring, and writing the two pages."""

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

from a2sg_zoo.analysis.compare import Entry, Group, compare
from a2sg_zoo.analysis.compare.measurements import SECTIONS
from a2sg_zoo.analysis.loading import load_batches, load_network
from a2sg_zoo.analysis.measures.objective import Objective
from a2sg_zoo.analysis.report import Report
from a2sg_zoo.analysis.runs import read_runs
from a2sg_zoo.analysis.sections import SECTIONS as SECTIONS_OF_ONE
from a2sg_zoo.analysis.settings import COMPARISON as SETTINGS
from a2sg_zoo.benchmark.suites.job import machine
from a2sg_zoo.benchmark.suites.plan import Run, plan
from a2sg_zoo.benchmark.suites.results import read_result, result_path
from a2sg_zoo.benchmark.suites.runner import run_suite, survey
from a2sg_zoo.benchmark.suites.suite import Suite, read_suite
from a2sg_zoo.engine.run import prepare_config
from a2sg_zoo.errors import ConfigError
from a2sg_zoo.evidence import exactness
from a2sg_zoo.evidence.details import Theory, write_details
from a2sg_zoo.evidence.document import write_document
from a2sg_zoo.evidence.paper import A2SG, FIXED_ASY, FIXED_BOX, FIXED_TRI, STASG, evaluate
from a2sg_zoo.evidence.theory import HIDDEN, growth_rows, pixels, theorem_tables
from a2sg_zoo.hub.files import check_output
from a2sg_zoo.registry import DATASETS, POLICIES

_DIGITS = 'digits_few'
_NAMES = {'cifar10_few': 'CIFAR-10', _DIGITS: 'digits'}
_METHODS = dict(tri=FIXED_TRI, box=FIXED_BOX, asy=FIXED_ASY, stasg=STASG, a2sg=A2SG)
# settings of the pictures of one network: a grid of 15 x 15
_SHOWN = dict(points=15, span=0.5, dimensions=2)


def write(args: Namespace) -> None:
    """Train what is missing, measure it, and write the two pages.

    Args:
        args: arguments of `a2sg-zoo why_it_works`, and the `command` that repeats the page.

    Raises:
        ConfigError: the suite does not have the methods and data of the pages, there are no images, a run failed, or a
            page cannot be written.
    """
    for name in ('why_it_works.md', 'why_it_works_details.md'):
        check_output(Path(args.out, name), 'why_it_works')
    suite = read_suite(args.suite)
    _check_suite(suite, args.suite)
    suite.seeds = list(range(args.seeds))
    runs = plan(suite)
    _check_data(runs)
    _train(suite, runs, args)
    groups, failed = _measure(runs, args)
    digits = next(run for run in runs if run.dataset == _DIGITS)
    growths = growth_rows(*pixels(_objective(args.work / 'work' / digits.name, args.work)))
    theory = Theory(theorem_tables(), growths, exactness.tables())
    claims = evaluate(groups, theory.theorems, growths)
    numbers = _numbers(runs, groups, theory)
    # the second page first: the first one links to it
    write_details(args.out, groups, claims, theory, numbers, failed, _shown(groups, args.work))
    write_document(args.out, groups, claims, args.command, _facts(suite, runs, groups, args), numbers)
    print('\n'.join(f'{claim.verdict:13} {claim.text}' for claim in claims))
    print(f'\n{args.out}/why_it_works.md and {args.out}/why_it_works_details.md are written')


def _check_suite(suite: Suite, file: str) -> None:
    """Raise ConfigError if the pages cannot be made of a suite: before anything is trained."""
    problems = {
        'methods lacks': _METHODS.keys() - suite.methods.keys(),
        'methods may not have': suite.methods.keys() - _METHODS.keys(),
        'datasets lacks': {_DIGITS} - suite.datasets.keys(),
        'networks has more than one:': suite.networks.keys() if len(suite.networks) > 1 else (),
    }
    found = [f'{what} {", ".join(sorted(names))}' for what, names in problems.items() if names]
    if found:
        raise ConfigError(f'{file}: the pages cannot be made of this suite: {"; ".join(found)}')


def _check_data(runs: Sequence[Run]) -> None:
    """Raise ConfigError before anything is trained if there are no images, or a run would not score them."""
    for run in runs:
        if not any(hook['type'] == 'TrainingScores' for hook in run.config.get('custom_hooks') or []):
            raise ConfigError(f'{run.name}: custom_hooks needs the hook TrainingScores')
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

        run_suite(
            suite, runs, args.work, shlex.join(['python', *sys.argv]), report=report, options=dict(workers=args.workers)
        )
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
    by_folder = {args.work / 'work' / run.name: run for run in runs}
    with tqdm(total=len(folders), unit='run', desc='measuring', smoothing=0.1) as bar:

        def report(run, error):
            if error:
                bar.write(f'{run.name}: not measured: {error}')
            bar.update()

        groups, failed = compare(
            folders, list(SECTIONS), args.work / 'measures', dict(samples=args.samples), args.workers, report
        )
    for group in groups:
        for entry in group.entries:
            add_scores(entry, read_result(result_path(args.work, by_folder[entry.run.path].name)))
    return {_name(by_folder[group.entries[0].run.path]): group for group in groups}, failed


def _name(run: Run) -> str:
    return _NAMES.get(run.dataset, run.dataset)


def add_scores(entry: Entry, result: Mapping[str, Any]) -> None:
    """Let the scores on all training images replace those on a sample, and add the widths at the end of training.

    Args:
        entry: a measured run; its section `accuracy` is changed, and it gets a section `search`.
        result: the run's result, with the metrics of the hook `TrainingScores`.
    """
    values, metrics = entry.sections['accuracy']['values'], result['metrics']
    values.update(train_accuracy=metrics['train_top1'], train_loss=metrics['train_loss'])
    values.update(
        gap=values['test_loss'] - values['train_loss'], accuracy_gap=values['train_accuracy'] - values['accuracy']
    )
    widths = result.get('search') or {}
    entry.sections['search'] = dict(values={f'width_{key}': widths[key] for key in ('low', 'high') if key in widths})


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
    backbone, optimizer = cfg.model.backbone, cfg.optim_wrapper.optimizer
    data, reached = [], []
    for run in reversed(first.values()):
        loader, entries = run.config.train_dataloader, groups[_name(run)].entries
        images, steps = len(DATASETS.build(loader.dataset)), run.config.train_cfg.max_iters
        tested = {entry.sections['accuracy']['test_samples'] for entry in entries}
        data.append(
            f'{_name(run)}: {images:,} for training, {", ".join(f"{n:,}" for n in tested)} for the test, '
            f'{loader.dataset.size} x {loader.dataset.size} pixels, {steps:,} steps of {loader.batch_size} images, '
            f'{steps * loader.batch_size / images:.0f} passes'
        )
        scores = [entry.values['train_accuracy'] for entry in entries]
        reached.append(f'{min(scores):.1f} to {max(scores):.1f} % on {_name(run)}')
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
            f'{optimizer.type} with a cosine, learning rate {optimizer.lr:g} for all, seeds 0 to {args.seeds - 1}, '
            f'{args.suite}',
        ),
        ('training accuracy reached', f'{" and ".join(reached)}, the least and the most of all runs'),
        ('measured on', f'flatness and energy on {args.samples} training images, the same for all runs'),
        ('machine', machine()),
    ]


def _parameters(groups: Mapping[str, Group]) -> str:
    return ' and '.join(
        f'{n:,}' for n in sorted({entry.parameters for group in groups.values() for entry in group.entries})
    )


def _numbers(runs: Sequence[Run], groups: Mapping[str, Group], theory: Theory) -> dict[str, Any]:
    """The values for the braces in `prose`."""
    datasets = {run.dataset: run.config.train_dataloader.dataset for run in runs}.values()
    betas = [beta for row in theory.growths if row['growth'] for beta in row['growth'].betas] or [math.nan]
    return dict(
        log_interval=runs[0].config.adaptation.log_interval,
        rho=SETTINGS['rho'],
        cases=theory.theorems[0][0]['cases'],
        width=HIDDEN,
        betas=f'{min(betas):g} to {max(betas):g}',
        parameters=_parameters(groups),
        sizes=' and '.join(f'{dataset.size} x {dataset.size}' for dataset in datasets),
        images=' and '.join(f'{len(DATASETS.build(dataset)):,}' for dataset in datasets),
    )
