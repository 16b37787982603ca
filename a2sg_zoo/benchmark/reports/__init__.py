"""Reports of finished benchmarks: statistics over seeds, tables, figures, and one HTML page."""
