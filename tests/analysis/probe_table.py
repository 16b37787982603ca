"""Prints how far the acting surrogates are from the declared ones, for all surrogates and libraries, in float64.

python -m tests.analysis.probe_table
"""

import warnings

from a2sg_zoo.adaptation import Fixed, attach
from a2sg_zoo.analysis.probe import probe
from a2sg_zoo.registry import SURROGATES
from tests.adaptation.foreign.test_equality import TABLE
from tests.analysis.test_probe import LIBRARIES, OURS, OWN, WRONG, largest_difference, one


def attached(name, surrogate):
    network = one(TABLE[name][1](4))
    attach(network, Fixed(dict(type=surrogate)))
    return largest_difference(network)


def main():
    warnings.simplefilter('ignore')
    heads = [*OURS, *LIBRARIES]
    print(f'| surrogate | {" | ".join(heads)} |\n|{"---|" * (len(heads) + 1)}')
    for surrogate in SURROGATES.own_names():
        ours = [largest_difference(one(make(surrogate=dict(type=surrogate), T=3))) for make in OURS.values()]
        theirs = [attached(name, surrogate) for name in LIBRARIES]
        print(f'| {surrogate} | {" | ".join(f"{x:.0e}" for x in (*ours, *theirs))} |')
    print('\n| of the library | acts as declared | largest difference / peak | acting |\n|---|---|---|---|')
    for name, (make, _) in {**OWN, **WRONG}.items():
        (layer,) = probe(one(make())).values()
        print(f'| {name} | {"no" if layer.differs else "yes"} | {layer.difference:.0e} | {layer.acts_like or "-"} |')


if __name__ == '__main__':
    main()
