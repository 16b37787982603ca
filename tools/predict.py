"""`a2sg-zoo predict` from a checkout."""

from a2sg_zoo.cli.predict import main

if __name__ == '__main__':
    main()
