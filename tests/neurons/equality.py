"""Prints how far our neurons are from those of other libraries, in spikes and gradients.

python -m tests.neurons.equality
"""

from tests.neurons.peers import PEERS, difference, double


def main():
    print('| neuron | library | its class | spikes differ by | gradients differ by | mean output |')
    print('|---|---|---|---|---|---|')
    for name in PEERS:
        with double():
            spikes, gradients, rate = difference(name)
        print(f'| {" | ".join(name)} | {spikes:g} | {f"{gradients:.0e}" if gradients else 0} | {rate:.2f} |')


if __name__ == '__main__':
    main()
