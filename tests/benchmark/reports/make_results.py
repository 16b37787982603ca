"""Results as a suite leaves them, with figures that are made up by a rule."""

import random
from html.parser import HTMLParser

METHODS = ('tri', 'asy', 'a2sg')
SEEDS = (0, 1, 2, 3, 4)
BASE = dict(tri=48.0, asy=44.0, a2sg=47.0)
PLAN = dict(
    name='small',
    command='python tools/benchmark.py small.py',
    networks=['cnn'],
    datasets=['digits'],
    methods=METHODS,
    seeds=SEEDS,
)


def result(network='cnn', dataset='digits', method='tri', seed=0, **changes):
    """One result; the same arguments give the same figures."""
    rng = random.Random(f'{network} {dataset} {method} {seed}')
    top1 = round(BASE.get(method, 40.0) + seed / 4 + rng.uniform(-1, 1), 4)
    steps = [50, 100, 150, 200]
    adapts = method == 'a2sg'
    beta = {
        f'stages.{i}.neuron': [
            [x, [1 + 0.1 * i + x / 1000 * (t + 1) if adapts else 1.0 for t in range(4)]] for x in steps
        ]
        for i in range(3)
    }
    return dict(
        dict(
            format=2,
            suite='small',
            network=network,
            dataset=dataset,
            method=method,
            seed=seed,
            status='finished',
            reason='',
            hash=f'{network}{dataset}{method}{seed}',
            version='1',
            data='d1',
            config={},
            versions=dict(python='3.11', torch='2.15'),
            started=f'2026-01-0{1 + seed}T10:00:00',
            metrics=dict(top1=top1, best_top1=top1 + 0.5),
            cost=dict(
                train_seconds=60.0 + seed,
                seconds_per_step=(0.03 if adapts else 0.02) + seed / 10000,
                cpu_seconds=70.0,
                peak_memory_bytes=300_000_000 + seed,
                steps=200,
            ),
            activity=dict(
                parameters=1000,
                macs=2e5,
                sops=(1.5 + seed / 10) * 1e6,
                energy_pj=2.27e6,
                firing_rate=0.2,
                sparsity=0.8,
                T=4,
                rates={},
                layers=[],
            ),
            curves=dict(
                loss=[[x, 2 - x / 200 + seed / 50] for x in steps],
                metric=[[x, top1 - 20 + x / 10] for x in steps],
                beta=beta,
            ),
            checksum='',
        ),
        **changes,
    )


def suite(methods=METHODS, seeds=SEEDS, **changes):
    """The results of a whole suite."""
    return [result(method=m, seed=s, **changes) for m in methods for s in seeds]


def without(results, *left_out):
    """The results but for those of (method, seed)."""
    return [r for r in results if (r['method'], r['seed']) not in left_out]


class Page(HTMLParser):
    """A page's tables as lists of rows of texts, its tags, attributes and text; refuses tags that do not match."""

    VOID = {'meta', 'br', 'hr', 'img', 'link', 'input'}

    def __init__(self, source):
        super().__init__()
        self.open, self.tables, self.attributes, self.text = [], [], [], ''
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == 'table':
            self.tables.append([])
        elif tag == 'tr':
            self.tables[-1].append([])
        elif tag in ('td', 'th'):
            self.tables[-1][-1].append('')

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {'td', 'th'} & set(self.open):
            self.tables[-1][-1][-1] += data
        if not {'style', 'script'} & set(self.open):
            self.text += data
