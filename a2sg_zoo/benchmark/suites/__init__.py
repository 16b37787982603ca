"""Suites: networks, data sets, methods and seeds, run and reported by one command."""
