"""Prints how far gradients under a search are from plain autograd, and widths from ours, for every supported neuron.

python -m tests.adaptation.foreign.table
"""

from a2sg_zoo.adaptation import A2SG, attach, detach
from tests.adaptation.foreign.networks import inputs, reference_gradients, step
from tests.adaptation.foreign.test_equality import SJ, TABLE, pair


def largest(found, expected):
    """The largest difference of two gradients, over the largest element of the second."""
    return max(float((found[key] - g).abs().max()) for key, g in expected.items()) / max(
        float(g.abs().max()) for g in expected.values()
    )


def difference_to_autograd(name):
    """Of a network with neurons of this kind, at the widths that A2SG chose in its second step."""
    kind, make = TABLE[name]
    network, policy = kind(make), A2SG(beta_min=0.3)
    layers = attach(network, policy)
    step(network, policy)
    found = step(network, policy, 1)
    detach(network)
    return largest(found, reference_gradients(network, layers))


def difference_to_ours(name, step_mode):
    """(whether all widths of three steps are equal, difference of gradients) to our neuron of the same equations."""
    networks, policies = pair(name, step_mode), (A2SG(), A2SG())
    ours, theirs = (attach(*both) for both in zip(networks, policies))
    equal, worst = True, 0.0
    for iteration in range(3):
        x = inputs(1.0 + iteration, iteration)
        a, b = (step(n, p, iteration, x) for n, p in zip(networks, policies))
        worst = max(worst, largest(dict(zip(a, b.values())), a))
        equal &= all((theirs[key].beta == layer.beta).all().item() for key, layer in ours.items())
    return equal, worst


def main():
    print('| neuron | to plain autograd | widths equal to ours | gradient to ours |\n|---|---|---|---|')
    for name in TABLE:
        short = name.removeprefix('SpikingJelly ')
        ours = [difference_to_ours(short, mode) for mode in 'ms'] if short in SJ else []
        same = (
            f'{"yes" if all(equal for equal, _ in ours) else "no"} | {max(x for _, x in ours):.0e}' if ours else '- | -'
        )
        print(f'| {name} | {difference_to_autograd(name):.0e} | {same} |')


if __name__ == '__main__':
    main()
