"""The prepared report on a CUDA machine: checks of what only a GPU shows, and a training of fixed length."""
