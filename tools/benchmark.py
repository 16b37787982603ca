"""`a2sg-zoo benchmark` from a checkout."""

from a2sg_zoo.cli.benchmark import main

if __name__ == '__main__':
    main()
