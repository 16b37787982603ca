"""Model cards: Markdown with metadata for the Hugging Face Hub, made from the entry in the index alone.

So a card always says what the index says.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

from a2sg_zoo.errors import ConfigError
from a2sg_zoo.hub.index import ZOO, Entry
from a2sg_zoo.utils.markdown import markdown_table

_INFERENCERS = dict(
    classification='ImageClassifierInferencer',
    segmentation='SegmentationInferencer',
    detection='DetectionInferencer',
    language='TextGenerator',
)
_RESULTS = dict(
    classification="print(infer('picture.jpg')['predictions'][0]['name'])",
    segmentation="print(infer('picture.jpg', out_dir='out')['predictions'][0]['shares'])",
    detection="print(infer('picture.jpg', out_dir='out')['predictions'][0]['objects'])",
    language="print(infer('The import statement', length=200, temperature=0.8, seed=0))",
)
_NOT_FOR = (
    'Do not use it for decisions about people, or for pictures that differ from its training data: it always answers '
    'with one of its own classes.'
)
_NOT_FOR_TEXTS = (
    'Do not use it as a source of facts: it continues a text with what is probable after it, and knows nothing of what '
    'is true.'
)
# names of these metrics on the Hugging Face Hub
_METRICS = dict(top1='accuracy', mIoU='mean_iou', aAcc='accuracy')
# names of the tasks there
_TASKS = dict(
    classification='image-classification',
    segmentation='image-segmentation',
    detection='object-detection',
    language='text-generation',
)
# time steps up to which the picture of the widths has room for numbers
_MOST_WRITTEN = 32
_CITATION = (
    '@misc{a2sg,',
    '  title = {A2SG: Adaptive and Asymmetric Surrogate Gradients for Training Deep Spiking Neural Networks},',
    '  year = {2026}, eprint = {2606.11236}, archivePrefix = {arXiv}, note = {ICML 2026}}',
)


def log_name(entry: Entry) -> str:
    """The name of the file of a run's training curves, beside its card."""
    stem = entry.name if entry.shipped is None else Path(entry['location']).stem
    return f'{stem}.log.jsonl'


def files_of(entry: Entry, address: str | None = None, name: str | None = None) -> dict[str, str]:
    """{file name: text} of a card: NAME.md, and NAME.svg if the widths differ between layers or time steps.

    Args:
        entry: of the index.
        address: see `card`.
        name: of the file of the card; by default NAME.md.
    """
    files = {name or f'{entry.name}.md': card(entry, address)}
    if _is_adapted(entry):
        files[f'{entry.name}.svg'] = beta_picture(entry['beta'])
    return files


def card(entry: Entry, address: str | None = None) -> str:
    """The card of an entry: Markdown with metadata in front.

    Args:
        entry: of the index.
        address: what a user writes to get the weights, such as 'hf:OWNER/NAME'; by default their name in the zoo.

    Raises:
        ConfigError: huggingface_hub is not installed.
    """
    recipe, data = entry['recipe'], entry['data']
    name = address or entry.name
    settings = {key: value for key, value in recipe.items() if key not in ('command', 'evaluation', 'variable')}
    parts = [
        f'---\n{yaml.safe_dump(_metadata(entry), allow_unicode=True, width=1000)}---',
        f'# {entry.name}',
        entry['summary'],
        f'{entry["parameters"]:,} parameters, T = {entry["T"]} time steps, {entry["size"] / 1e6:.1f} MB.',
        '## Use',
        _code(
            'import a2sg_zoo',
            '',
            f"infer = a2sg_zoo.{_INFERENCERS[entry['task']]}('{name}')",
            _RESULTS[entry['task']],
            language='python',
        ),
        f"As a PyTorch module: `a2sg_zoo.get_model('{name}')`. As the backbone of another network: "
        f"`init_cfg=dict(type='Pretrained', checkpoint='{address or ZOO + entry.name}')`.",
        '## Intended use',
        entry.get('uses')
        or 'Comparisons of training methods for spiking neural networks on this data, and initial weights for your own '
        'networks.',
        entry.get('not_for') or (_NOT_FOR_TEXTS if entry['task'] == 'language' else _NOT_FOR),
        '## Data',
        '. '.join(filter(None, [data['name'], data.get('about')])) + '.',
        *_optional('Licence: {}.', data.get('licence')),
        *_optional('Source: <{}>', data.get('url')),
        '## Training',
        _code(recipe['command']),
        *_optional(
            'The environment variable `{}` names the folder of the data, here and in the command under Results.',
            recipe.get('variable'),
        ),
        _pairs({**settings, 'config': entry['config']}),
        f'The training curves are in [{log_name(entry)}]({log_name(entry)}).',
        '## Results',
        'Measured with the published file, which stores matrices in half precision, by this command in a checkout. '
        'With the installed package alone, write `a2sg-zoo test` in place of `python tools/test.py`.',
        _code(recipe['evaluation'].replace(ZOO + entry.name, address or ZOO + entry.name)),
        markdown_table(['metric', 'value'], [(k, f'{v:.2f}') for k, v in entry['metrics'].items()]),
        *_per_class(entry),
        *_widths(entry),
        *_activity(entry),
        '## Limits',
        '\n'.join(f'- {limit}' for limit in _limits(entry)),
        '## Licence',
        f'{entry["licence"]}.' + _source(entry),
        '## Citation',
        _code(*_CITATION, language='bibtex'),
        f'Made by a2sg_zoo {entry["code_version"]}. SHA-256 of the file: `{entry["sha256"]}`.',
    ]
    return '\n\n'.join(parts) + '\n'


def _metadata(entry: Entry) -> dict[str, Any]:
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError as error:
        raise ConfigError(f'model cards need {error.name}: pip install "a2sg-zoo[hub]"') from error
    task, data = _TASKS[entry['task']], entry['data']
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


def _code(*lines: str, language: str = '') -> str:
    return '\n'.join([f'```{language}', *lines, '```'])


def _pairs(values: Mapping[str, Any]) -> str:
    return markdown_table(['', ''], [(key.replace('_', ' '), _shown(value)) for key, value in values.items()])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f'{value:.6g}'
    return f'{value:,}' if isinstance(value, int) else str(value)


def _optional(text: str, value: Any) -> list[str]:
    return [text.format(value)] if value else []


def _per_class(entry: Entry) -> list[str]:
    if entry['task'] == 'detection':
        found = entry.get('per_class') or ()
        keys = [key for key in ('AP', 'AP_segm') if any(key in row for row in found)]
        rows = [(row['class'], *(f'{row[key]:.2f}' for key in keys), _shown(row['objects'])) for row in found]
        return [markdown_table(['class', *keys, 'objects'], rows)] if rows else []
    rows = [
        (row['class'], f'{row["IoU"]:.2f}', f'{row["Acc"]:.2f}' if 'Acc' in row else '', _shown(row.get('pixels', '')))
        for row in entry.get('per_class') or ()
    ]
    return [markdown_table(['class', 'IoU', 'accuracy', 'pixels'], rows)] if rows else []


def _is_adapted(entry: Entry) -> bool:
    """Whether the widths differ between layers or time steps."""
    return len({value for values in entry.get('beta', {}).values() for value in values}) > 1


def _widths(entry: Entry) -> list[str]:
    if not entry.get('beta'):
        return []
    if _is_adapted(entry):
        return [
            '## Widths of the surrogate gradient',
            'The width beta at the end of the training, for each layer (rows) and time step (columns), in units of the '
            f'membrane potential{_range(entry["beta"])}:',
            f'![beta for each layer and time step]({entry.name}.svg)',
        ]
    value = next(iter(entry['beta'].values()))[0]
    return ['## Widths of the surrogate gradient', f'beta = {value:g} in every layer and time step.']


def _range(beta: Mapping[str, Sequence[float]]) -> str:
    """What the colours of the picture mean, where it has no numbers."""
    if max(map(len, beta.values())) <= _MOST_WRITTEN:
        return ''
    values = [value for widths in beta.values() for value in widths]
    return f', from {min(values):.2f} (light) to {max(values):.2f} (dark)'


def _activity(entry: Entry) -> list[str]:
    parts = []
    if entry.get('firing_rates'):
        rates = [(layer, f'{rate:.4f}') for layer, rate in entry['firing_rates'].items()]
        parts += ['## Firing rates', 'Spikes per neuron and time step.', markdown_table(['layer', 'rate'], rates)]
    for field, title in (('energy', '## Estimated energy per image'), ('flatness', '## Flatness of the loss')):
        if entry.get(field):
            parts += [title, _pairs(entry[field])]
    return parts


def _limits(entry: Entry) -> Iterable[str]:
    yield from entry.get('limits', [])
    licence = entry['data'].get('licence', '')
    if 'research' in licence:
        yield f'The licence of the data restricts their use, and therefore the use of these weights: {licence}.'
    yield 'One run with one seed. Other seeds give other results.'
    yield 'Not tested on other data.'


def _source(entry: Entry) -> str:
    source = entry.get('converted_from')
    return ' Converted from <{url}>, which is under {licence}.'.format(**source) if source else ''


def beta_picture(beta: Mapping[str, Sequence[float]]) -> str:
    """The widths of all layers and time steps as an SVG, byte for byte the same on every machine.

    Each width is written into its cell; where there are more than 32 time steps, the cells are narrow and have colours
    alone.

    Args:
        beta: {layer: widths, one for each time step}.
    """
    written = max(map(len, beta.values())) <= _MOST_WRITTEN
    row, column, margin = 16, 44 if written else 7, 8
    left = margin + 7 * max(map(len, beta))
    values = [value for widths in beta.values() for value in widths]
    low, span = min(values), max(max(values) - min(values), 1e-9)
    width = left + column * max(map(len, beta.values())) + margin
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{row * len(beta) + 2 * margin}" '
        'font-family="monospace" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for i, (layer, widths) in enumerate(beta.items()):
        y = margin + row * i
        lines.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{escape(layer)}</text>')
        for t, value in enumerate(widths):
            share = (value - low) / span
            colour = '#' + ''.join(f'{round(a + (b - a) * share):02x}' for a, b in ((247, 33), (251, 113), (255, 181)))
            x = left + column * t
            lines.append(f'<rect x="{x}" y="{y}" width="{column}" height="{row}" fill="{colour}"/>')
            if not written:
                continue
            lines.append(
                f'<text x="{x + column // 2}" y="{y + 12}" text-anchor="middle" '
                f'fill="{"white" if share > 0.5 else "black"}">{value:.2f}</text>'
            )
    return '\n'.join([*lines, '</svg>', ''])
