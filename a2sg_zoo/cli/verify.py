"""Print the figures behind the claims of exactness; takes a minute or two on a CPU.

    a2sg-zoo verify

1. The hand-written backward pass against plain autograd, in float64, for all neurons: largest relative error.
2. The width that A2SG's searches choose in every layer and time step of a spiking transformer against brute force:
   direct evaluation of the objective on full tensors over a fine grid.
3. Fisher and Hessian against dense matrices; operations against NeuroBench, where it is installed.
"""

from collections.abc import Sequence

from a2sg_zoo.cli.parsing import Parser, errors_for_people


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; argv: its arguments, None for those of the process."""
    Parser('verify', __doc__).parse_args(argv)
    with errors_for_people():
        from a2sg_zoo.evidence.verification import lines

        for line in lines():
            print(line, flush=True)


if __name__ == '__main__':
    main()
