"""What a notebook imports: `list_models`, `info`, `get_model`, and the inferencers."""
