"""Figures of the measures: one function for each, which returns a matplotlib figure; `style.save` writes it."""
