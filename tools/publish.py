"""`a2sg-zoo publish` from a checkout."""

from a2sg_zoo.cli.publish import main

if __name__ == '__main__':
    main()
