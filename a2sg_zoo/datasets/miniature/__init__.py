"""Data sets that are drawn by rule, for demos and tests: nothing to download."""
