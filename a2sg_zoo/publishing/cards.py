"""Model cards: Markdown with metadata for the Hugging Face Hub, made of nothing but the entry in the index.

So a card never says anything else than the index; `check` regenerates all of them and compares.
"""

from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

import yaml

from a2sg_zoo.errors import CheckpointError, ConfigError
from a2sg_zoo.hub.download import fault
from a2sg_zoo.hub.files import write_atomically
from a2sg_zoo.hub.published import load
from a2sg_zoo.utils.markdown import markdown_table

MEGABYTES_EACH, MEGABYTES_TOGETHER = 9, 24
_INFERENCERS = dict(classification='ImageClassifierInferencer', segmentation='SegmentationInferencer')
_RESULTS = dict(
    classification="print(infer('picture.jpg')['predictions'][0]['name'])",
    segmentation="print(infer('picture.jpg', out_dir='out')['predictions'][0]['shares'])",
)
# what the Hub calls these metrics
_METRICS = dict(top1='accuracy', mIoU='mean_iou', aAcc='accuracy')
_CITATION = (
    '@misc{a2sg,',
    '  title = {A2SG: Adaptive and Asymmetric Surrogate Gradients for Training Deep Spiking Neural Networks},',
    '  year = {2026}, eprint = {2606.11236}, archivePrefix = {arXiv}, note = {ICML 2026}}',
)


def write(files, folder):
    """Writes {file name: text}, see `files_of`, to `folder`."""
    for name, text in files.items():
        write_atomically(text.encode(), Path(folder) / name)


def files_of(entry):
    """{file name: text} of the card of an entry: NAME.md, and NAME.svg where there are windows to show."""
    files = {f'{entry.name}.md': card(entry)}
    if _adapted(entry):
        files[f'{entry.name}.svg'] = beta_picture(entry['beta'])
    return files


def card(entry):
    """The card of an entry, Markdown with metadata in front.

    Raises:
        ConfigError: huggingface_hub is not installed, whose metadata these are.
    """
    recipe, data = entry['recipe'], entry['data']
    parts = [
        f'---\n{yaml.safe_dump(_metadata(entry), allow_unicode=True, width=1000)}---',
        f'# {entry.name}',
        entry['summary'],
        f'{entry["parameters"]:,} parameters, T = {entry["T"]} time steps, {entry["size"] / 1e6:.1f} MB.',
        '## Use',
        _code(
            'import a2sg_zoo',
            '',
            f"infer = a2sg_zoo.{_INFERENCERS[entry['task']]}('{entry.name}')",
            _RESULTS[entry['task']],
            language='python',
        ),
        f"As a PyTorch module: `a2sg_zoo.get_model('{entry.name}')`. As the backbone of another network: "
        f"`init_cfg=dict(type='Pretrained', checkpoint='zoo:{entry.name}')`.",
        '## What it is for',
        entry.get('uses')
        or 'To compare methods of training spiking neural networks on this data, and as a start for networks of yours.',
        entry.get('not_for')
        or 'It is not for decisions about people, nor for pictures unlike those it was trained '
        'on: it knows no class but its own, and always names one.',
        '## Data',
        '. '.join(filter(None, [data['name'], data.get('about')])) + '.',
        *_optional('Licence: {}.', data.get('licence')),
        *_optional('Source: <{}>', data.get('url')),
        '## Training',
        _code(recipe['command']),
        *_optional(
            'The environment variable `{}` names the folder of the data, for this command and that below.',
            recipe.get('variable'),
        ),
        markdown_table(
            ['', ''],
            [
                (key.replace('_', ' '), _shown(value))
                for key, value in recipe.items()
                if key not in ('command', 'evaluation', 'variable')
            ]
            + [('config', entry['config'])],
        ),
        f'The curves of the run are in [{entry.name}.log.jsonl]({entry.name}.log.jsonl).',
        '## Results',
        'Measured with the published file, whose matrices are in half precision, by',
        _code(recipe['evaluation']),
        'in a checkout, or where the package alone is installed, with `python -m '
        'a2sg_zoo.cli.test` in place of `python tools/test.py`.',
        markdown_table(['metric', 'value'], [(k, f'{v:.2f}') for k, v in entry['metrics'].items()]),
        *_per_class(entry),
        *_windows(entry),
        *_activity(entry),
        '## Limits',
        '\n'.join(
            f'- {limit}'
            for limit in [
                *entry.get('limits', []),
                *_optional(
                    'The licence of the data restricts their use, and so that of these weights: {}.',
                    data.get('licence') if 'research' in data.get('licence', '') else None,
                ),
                'One run with one seed; others will differ.',
                'Not tested on other data.',
            ]
        ),
        '## Licence',
        f'{entry["licence"]}.'
        + (
            ' Converted from <{url}>, which is under {licence}.'.format(**entry['converted_from'])
            if entry.get('converted_from')
            else ''
        ),
        '## Citation',
        _code(*_CITATION, language='bibtex'),
        f'Made by a2sg_zoo {entry["code_version"]}; SHA-256 of the file: `{entry["sha256"]}`.',
    ]
    return '\n\n'.join(parts) + '\n'


def _metadata(entry):
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError as error:
        raise ConfigError(f'for model cards, {error.name} is needed: pip install "a2sg-zoo[hub]"') from error
    task, data = f'image-{entry["task"]}', entry['data']
    results = [
        EvalResult(
            task_type=task,
            dataset_name=data['name'],
            dataset_type=data.get('id', data['name'].lower()),
            metric_type=_METRICS.get(name, name),
            metric_name=name,
            metric_value=round(value, 4),
        )
        for name, value in entry['metrics'].items()
    ]
    return ModelCardData(
        model_name=entry.name,
        license=entry['licence'].lower(),
        library_name='a2sg-zoo',
        pipeline_tag=task,
        tags=['spiking-neural-network', 'surrogate-gradient'],
        eval_results=results,
    ).to_dict()


def _code(*lines, language=''):
    return '\n'.join([f'```{language}', *lines, '```'])


def _shown(value):
    if isinstance(value, float):
        return f'{value:.6g}'
    return f'{value:,}' if isinstance(value, int) else str(value)


def _optional(text, value):
    return [text.format(value)] if value else []


def _per_class(entry):
    rows = entry.get('per_class')
    if not rows:
        return []
    return [
        markdown_table(
            ['class', 'IoU', 'accuracy', 'pixels'],
            [
                (
                    row['class'],
                    f'{row["IoU"]:.2f}',
                    f'{row["Acc"]:.2f}' if 'Acc' in row else '',
                    _shown(row.get('pixels', '')),
                )
                for row in rows
            ],
        )
    ]


def _adapted(entry):
    """Whether the windows differ from one another."""
    return len({value for values in entry.get('beta', {}).values() for value in values}) > 1


def _windows(entry):
    if not entry.get('beta'):
        return []
    if _adapted(entry):
        return [
            '## Windows of the surrogate',
            'beta at the end of the training, for each layer (rows) and time step '
            '(columns), in units of the membrane potential:',
            f'![beta by layer and step]({entry.name}.svg)',
        ]
    value = next(iter(entry['beta'].values()))[0]
    return ['## Windows of the surrogate', f'beta = {value:g} in every layer and time step.']


def _activity(entry):
    parts = []
    if entry.get('firing_rates'):
        rates = entry['firing_rates']
        parts += [
            '## Firing rates',
            'Spikes a neuron and time step.',
            markdown_table(['layer', 'rate'], [(layer, f'{rate:.4f}') for layer, rate in rates.items()]),
        ]
    for field, title in (('energy', '## Energy of an image, estimated'), ('flatness', '## Flatness of the loss')):
        if entry.get(field):
            parts += [
                title,
                markdown_table(['', ''], [(key.replace('_', ' '), _shown(x)) for key, x in entry[field].items()]),
            ]
    return parts


def beta_picture(beta):
    """{layer: windows} as an SVG, the same to the byte for the same windows, on whatever machine."""
    row, column, margin = 16, 44, 8
    left = margin + 7 * max(map(len, beta))
    values = [value for windows in beta.values() for value in windows]
    low, span = min(values), max(max(values) - min(values), 1e-9)
    width = left + column * max(map(len, beta.values())) + margin
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{row * len(beta) + 2 * margin}" '
        'font-family="monospace" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for i, (layer, windows) in enumerate(beta.items()):
        y = margin + row * i
        lines.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{escape(layer)}</text>')
        for t, value in enumerate(windows):
            share = (value - low) / span
            colour = '#' + ''.join(f'{round(a + (b - a) * share):02x}' for a, b in ((247, 33), (251, 113), (255, 181)))
            x = left + column * t
            lines.append(f'<rect x="{x}" y="{y}" width="{column}" height="{row}" fill="{colour}"/>')
            lines.append(
                f'<text x="{x + column // 2}" y="{y + 12}" text-anchor="middle" '
                f'fill="{"white" if share > 0.5 else "black"}">{value:.2f}</text>'
            )
    return '\n'.join([*lines, '</svg>', ''])


def check(entries, folder):
    """What is wrong with cards, logs and shipped weights: a list of sentences, empty where all is right.

    Every card is made anew and compared; every shipped file is compared with its entry in hash, network, number of
    parameters and time steps. Files that lie elsewhere are not fetched.

    Args:
        entries: of `read_index`.
        folder: of the cards; None where they are not at hand, and so not looked at.
    """
    problems = [problem for entry in entries.values() if entry.shipped is not None for problem in _check_weights(entry)]
    sizes = [entry['size'] for entry in entries.values() if entry.shipped is not None]
    if sum(sizes) > MEGABYTES_TOGETHER * 10**6:
        problems.append(f'the shipped weights take {sum(sizes) / 1e6:.1f} MB; at most {MEGABYTES_TOGETHER} are to be')
    problems += [
        f'{location} is the location of {count} entries'
        for location, count in Counter(entry['location'] for entry in entries.values()).items()
        if count > 1
    ]
    return problems if folder is None else problems + _check_cards(entries, Path(folder))


def _check_cards(entries, folder):
    expected = {}
    for entry in entries.values():
        expected.update(files_of(entry), **{f'{entry.name}.log.jsonl': None})
    found = {path.name for path in folder.glob('*')} if folder.is_dir() else set()
    problems = [f'{Path(folder, name)} belongs to no entry of the index' for name in sorted(found - expected.keys())]
    for name, text in expected.items():
        path = Path(folder, name)
        if name not in found:
            problems.append(f'{path} is missing')
        elif text is not None and path.read_text(encoding='utf-8') != text:
            problems.append(f'{path} is not what the index gives')
    return problems


def _check_weights(entry):
    try:
        wrong = fault(entry.shipped, f'sha256:{entry["sha256"]}', entry['size'])
        if wrong:
            return [f'{entry.name}: {entry.shipped} is not the file that {entry.index} tells of: {wrong}']
        model, description = load(entry.shipped)
    except OSError as error:
        return [f'{entry.name}: {entry.shipped} cannot be read: {error.strerror}']
    except CheckpointError as error:
        return [str(error)]
    problems = []
    if entry['size'] > MEGABYTES_EACH * 10**6:
        problems.append(f'{entry.name}: {entry.shipped} is larger than {MEGABYTES_EACH} MB')
    for field, value in (
        ('model', description.model),
        ('task', description.task),
        ('T', model.backbone.T),
        ('parameters', sum(p.numel() for p in model.parameters())),
    ):
        if entry[field] != value:
            problems.append(f'{entry.name}: the index gives {field} = {entry[field]!r:.80}, but its file {value!r:.80}')
    return problems
