"""`a2sg-zoo verify` from a checkout."""

from a2sg_zoo.cli.verify import main

if __name__ == '__main__':
    main()
