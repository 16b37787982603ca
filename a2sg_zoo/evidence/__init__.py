"""The paper's claims, checked by experiment: what `docs/why_it_works.md` and `a2sg-zoo verify` are made from.

Nothing else in the package imports it.
"""
