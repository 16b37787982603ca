"""Figures of what the analysis measures."""
