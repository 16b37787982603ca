"""`a2sg-zoo download_dataset` from a checkout."""

from a2sg_zoo.cli.download_dataset import main

if __name__ == '__main__':
    main()
