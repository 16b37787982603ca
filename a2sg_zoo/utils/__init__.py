"""Small helpers that many rooms share. Each module imports only what it needs, and nothing of the other rooms."""
