"""`a2sg-zoo benchmark_loader` from a checkout."""

from a2sg_zoo.cli.benchmark_loader import main

if __name__ == '__main__':
    main()
