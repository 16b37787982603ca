"""`a2sg-zoo train` from a checkout."""

from a2sg_zoo.cli.train import main

if __name__ == '__main__':
    main()
