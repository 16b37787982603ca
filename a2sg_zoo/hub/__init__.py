"""Files: atomic writes, downloads, archives, checkpoints, and the index of pretrained weights.

Everything that reads or writes a file stands on this package, and it imports none of the others.
"""
