"""`a2sg-zoo benchmark_libraries` from a checkout."""

from a2sg_zoo.cli.benchmark_libraries import main

if __name__ == '__main__':
    main()
