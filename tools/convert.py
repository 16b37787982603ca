"""`a2sg-zoo convert` from a checkout."""

from a2sg_zoo.cli.convert import main

if __name__ == '__main__':
    main()
