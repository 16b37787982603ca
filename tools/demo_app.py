"""`a2sg-zoo demo_app` from a checkout."""

from a2sg_zoo.cli.demo_app import main

if __name__ == '__main__':
    main()
