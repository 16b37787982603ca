"""Methods compared on the same networks, data, recipes and seeds: runs, and the report of their results."""
