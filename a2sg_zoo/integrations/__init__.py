"""Policies in the training loops of other libraries, one file each. Each needs the extra of its name.

`lightning`: a callback for PyTorch Lightning. `transformers`: a callback for Hugging Face's Trainer.
`callbacks`: what both share, without an extra.
"""
