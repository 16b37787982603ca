"""`a2sg-zoo report` from a checkout."""

from a2sg_zoo.cli.report import main

if __name__ == '__main__':
    main()
