"""`a2sg-zoo export` from a checkout."""

from a2sg_zoo.cli.export import main

if __name__ == '__main__':
    main()
