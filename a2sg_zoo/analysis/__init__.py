"""What a user looks at after training: flatness, variation of local gradients, theory, energy.

It reads networks from outside; no other package imports it. All measures are taken in eval mode: batch norms use their
running statistics, so that the loss is a mean over samples.
"""
