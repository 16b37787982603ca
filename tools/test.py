"""`a2sg-zoo test` from a checkout."""

from a2sg_zoo.cli.test import main

if __name__ == '__main__':
    main()
