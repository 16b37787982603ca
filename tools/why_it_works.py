"""`a2sg-zoo why_it_works` from a checkout."""

from a2sg_zoo.cli.why_it_works import main

if __name__ == '__main__':
    main()
