"""`a2sg-zoo compare_runs` from a checkout."""

from a2sg_zoo.cli.compare_runs import main

if __name__ == '__main__':
    main()
