"""What the commands `analyze` and `compare_runs` measure, and their settings. Imports nothing, for the parsers."""

# of `a2sg-zoo analyze`: the sections, in the order of `--what all`
SECTIONS = ('variation', 'fisher', 'hessian', 'landscape', 'bridge', 'theory', 'growth', 'energy', 'rasters')
SETTINGS = dict(rho=0.05, vectors=16, steps=40, points=21, span=1.0, dimensions=2, processes=1, memory=4e9, seed=0)

# of `a2sg-zoo compare_runs`
COMPARED = ('accuracy', 'variation', 'fisher', 'hessian', 'common', 'energy', 'landscape', 'bridge')
COMPARISON = dict(
    samples=128, batch_size=64, seed=0, rho=0.05, vectors=8, steps=20, points=11, span=0.5, directions=3, memory=4e9
)
