"""`a2sg-zoo analyze` from a checkout."""

from a2sg_zoo.cli.analyze import main

if __name__ == '__main__':
    main()
