"""Prose of the document `why_it_works.md`: what was asked and how, and nothing that a measurement could contradict."""

INTRODUCTIONS = dict(
    variation="""\
The paper's first step: choosing windows by SGV and shaping them asymmetrically makes the local gradients dL/du of a
layer vary less. CV = Std / Mean(|.|) is what its theory speaks of; SGV = Var / Mean(|.|) is what its search
minimises, at the last time step. Both come from the log of every tenth training step.""",
    consistency="""\
The second: windows of earlier steps are chosen so that local gradients of neighbouring time steps point the same way.
TGC is their cosine.""",
    flatness="""\
The third: less variation leads to flatter minima. "Flat" has several meanings, and for spiking networks one more than
usual: gradient and Hessian are those of the surrogate, so a method with higher or wider windows has larger ones *at
the same weights*. Hence three kinds of measure. With the method's own surrogate: the largest eigenvalue of the
empirical Fisher (the paper's measure), the largest eigenvalue and the trace of the Hessian. With one surrogate for
all runs (TRI, beta = 1): the same eigenvalues, so that weights are compared and not surrogates. With the loss itself:
SAM's sharpness L(w + 0.05 g / |g|) - L(w), in which the surrogate gives the direction alone, and the rise of the loss
at both ends of random directions normalised filter by filter (Li et al. 2018), in which it plays no part.""",
    shape="""\
A finding of the paper: at unit area the triangle is steeper than the rectangle and so ends in sharper regions.""",
    generalisation="""\
The last step: flatter minima generalise better.""",
    link="""\
Whether flat goes with good can be asked of the runs without asking which method made them: Spearman's rank
correlation between sharpness and test error. It is supported if it is positive with p < 0.05.""",
    bridge="""\
The paper bounds the largest eigenvalue of a layer's Fisher block by mu^2 Lambda + c mu^2 CV(delta), delta the error
that reaches the layer's output, mu its mean, Lambda the eigenvalue for delta = 1, and c "a constant". Some constant
always does. So what can be tested is the form: if the excess lambda_max / (mu^2 Lambda) - 1 grows linearly with CV,
its slope in log-log is 1; the triangle inequality, which needs no constant, lets it grow quadratically, slope 2. (CV
is here Std / |mu|.)""",
    theorems="""\
Membrane potentials are taken as Gaussian, with the window [a, b], L = b - a and kappa = a - mu. Theorem 4.1: TRI has
the least CV of the symmetric shapes "under certain constraints"; taken here as convex on either side and 0 at the
window's edges. Theorem 4.2: if L kappa > sigma^2, CV_asy < CV_sym. 20,000 random cases by quadrature, and every layer
and time step of the trained networks.""",
    growth="""\
For a symmetric window of fixed area the paper derives a Hessian of order Omega(1 / beta^2), against a ReLU network's
that does not know of beta. Perceptrons of 64 neurons a layer on real digits, the same weights for every beta from 0.1
to 0.8; the Hessian of the hidden layers.""")

LIMITS = """\
- **Small.** A residual network of 8 layers and 0.08 M parameters, images of 16 x 16 and 8 x 8, a few hundred steps
  of SGD. The paper trains ResNet-19 and transformers for hundreds of epochs. What is undecided or does not hold
  here may hold there, and the other way round; where the training loss in the table is far from 0, these are points
  on the way and not minima.
- **Few seeds.** Intervals from a handful of runs are wide, and "undecided" is what they mostly can say. Tests are
  many and not corrected for their number: of twenty true null hypotheses one comes out decided.
- **One learning rate for all**, since sharpness depends on it. Tuned for each method, accuracies differ from these
  ([benchmarks](benchmarks/README.md)).
- **Runs of one method are alike**, and layers of one run are: rank correlations and slopes treat them as
  independent, so their p values and intervals are too small.
- **Reconstructed.** The search interval, its space, and h = 1/2 are this project's reading of the paper.
- **Sharpness depends on the loss.** Fisher and Hessian shrink as the training loss does, whatever the shape of the
  landscape: compare the training losses in the table before the eigenvalues.
"""

RULES = """\
A difference between methods counts if the 95 % confidence interval of the difference of means over seeds (Welch's t)
leaves out 0, a rank correlation if p < 0.05 over at least 8 runs. Over the data sets, a claim *held* if it is
supported on all, *held in part* if on some and contradicted on none, *did not hold* if contradicted on some and
supported on none, is *mixed* if both, and *undecided* otherwise. A claim for all cases held if no case is against it.
"""

ENERGY = """\
E = 4.6 pJ x MACs + 0.9 pJ x SOPs (32 bit, 45 nm; Horowitz, ISSCC 2014): arithmetic alone. The surrogate plays no part
in inference, and so acts on energy only through the firing rates that training ends at.
"""

AGAIN = """\
This page and its pictures are written by that command; no number and no verdict in it is written by hand. Runs and
measures that are done are taken up again.
"""
