"""`a2sg-zoo gpu_report` from a checkout."""

from a2sg_zoo.cli.gpu_report import main

if __name__ == '__main__':
    main()
