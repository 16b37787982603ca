"""`a2sg-zoo search` from a checkout."""

from a2sg_zoo.cli.search import main

if __name__ == '__main__':
    main()
