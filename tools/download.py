"""`a2sg-zoo download` from a checkout."""

from a2sg_zoo.cli.download import main

if __name__ == '__main__':
    main()
