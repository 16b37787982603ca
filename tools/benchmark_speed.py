"""`a2sg-zoo benchmark_speed` from a checkout."""

from a2sg_zoo.cli.benchmark_speed import main

if __name__ == '__main__':
    main()
