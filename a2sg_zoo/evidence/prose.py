"""Prose of the document `why_it_works.md`: what was asked and how, and nothing that a measurement could contradict.

Numbers in braces are filled in from the configs and the measures' settings.
"""

INTRODUCTIONS = dict(
    variation="""\
The paper's first step: choosing windows by SGV and shaping them asymmetrically makes the local gradients dL/du of a
layer vary less. CV = Std / Mean(|.|) is what its theory speaks of; SGV = Var / Mean(|.|) is what its search
minimises, at the last time step. They come from the runs' logs, a record every {log_interval} steps; where windows are
searched less often, every {rarely} steps, records are of the steps that search.""",
    consistency="""\
The second: windows of earlier steps are chosen so that local gradients of neighbouring time steps point the same way.
TGC is their cosine.""",
    flatness="""\
The third: less variation leads to flatter minima. "Flat" has several meanings, and for spiking networks one more than
usual: gradient and Hessian are those of the surrogate, so a method with higher or wider windows has larger ones *at
the same weights*. Hence three kinds of measure. With the method's own surrogate: the largest eigenvalue of the
empirical Fisher (the paper's measure), the largest eigenvalue and the trace of the Hessian. With one surrogate for
all runs (TRI, beta = 1): the same eigenvalues, so that weights are compared and not surrogates. With the loss itself:
SAM's sharpness L(w + {rho:g} g / |g|) - L(w), in which the surrogate gives the direction alone, and the rise of the
loss at both ends of random directions normalised filter by filter (Li et al. 2018), in which it plays no part.""",
    shape="""\
A finding of the paper: at unit area the triangle is steeper than the rectangle and so ends in sharper regions.""",
    generalisation="""\
The last step: flatter minima generalise better.""",
    link="""\
Whether flat goes with good can be asked of the runs without asking which method made them: Spearman's rank
correlation between sharpness and test error. It is supported if it is positive with p < 0.05.""",
    bridge="""\
The paper bounds the largest eigenvalue of a layer's Fisher block by mu^2 Lambda + c mu^2 CV(delta), delta the error
that reaches the layer's output, mu its mean, Lambda the eigenvalue for delta = 1, and c "a constant"; CV is here
Std / |mu|. Some constant always does, so only the form can be tested: that the excess over mu^2 Lambda grows linearly
with CV. The triangle inequality, which needs no constant, has a linear and a quadratic term, and the linear one leads
for CV < 1. Where mu is next to nothing beside Std, as for errors of either sign, dividing both sides by mu^2 makes them
grow together whatever the network does, and nothing can be tested. What remains is the conclusion: that runs with a
larger CV have a larger eigenvalue.""",
    theorems="""\
Membrane potentials are taken as Gaussian, with the window [a, b], L = b - a and kappa = a - mu. Theorem 4.1: TRI has
the least CV of the symmetric shapes "under certain constraints"; taken here as convex on either side and 0 at the
window's edges. Theorem 4.2: if L kappa > sigma^2, CV_asy < CV_sym. {cases:,} random cases by quadrature, and every
layer and time step of the trained networks.

With the window [V_th - beta, V_th + beta], kappa = V_th - beta - mu: the condition needs a window that begins above the
mean of the potentials, by more than sigma^2 / (2 beta). For beta = V_th and mu near 0, kappa is next to nothing. Some
beta meets it if mu < V_th and sigma < (V_th - mu) / sqrt(2), the table's last column but one.""",
    growth="""\
For a symmetric window of fixed area the paper derives a Hessian of order Omega(1 / beta^2), against a ReLU network's
that does not know of beta. Perceptrons of {width} neurons a layer on real digits, the same weights for every beta from
{betas}; the Hessian of the hidden layers.""",
    energy="""\
The paper finds fewer spikes and less energy. E = 4.6 pJ x MACs + 0.9 pJ x SOPs (32 bit, 45 nm; Horowitz, ISSCC 2014):
arithmetic alone. The surrogate plays no part in inference, and so acts on energy only through the firing rates that
training ends at.""",
)

LIMITS = """\
- **Small.** {parameters} parameters, images of {sizes}, {steps} steps of SGD. The paper trains ResNet-19 and
  transformers for hundreds of epochs. What is undecided or does not hold here may hold there, and the other way round;
  where the training loss in the table is far from 0, these are points on the way and not minima.
- **Few seeds.** Intervals from a handful of runs are wide, and "undecided" is what they mostly can say. Tests are
  many and not corrected for their number: of twenty true null hypotheses one comes out decided.
- **One learning rate for all**, since sharpness depends on it. Tuned for each method, accuracies differ from these
  ([benchmarks](benchmarks/README.md)).
- **Runs of one method are alike**, and layers of one run are: rank correlations and slopes treat them as
  independent, so their p values and intervals are too small.
- **Reconstructed.** The search's space, its sample, and h = 1/2 are this project's reading of the paper.
- **Read at the search.** Records of a run that searches are of the batch that windows were just chosen on.
- **Sharpness depends on the loss.** Fisher and Hessian shrink as the training loss does, whatever the shape of the
  landscape: compare the training losses in the table before the eigenvalues.
"""

RULES = """\
A difference between methods counts if the 95 % confidence interval of the difference of means over seeds (Welch's t)
leaves out 0, a rank correlation if p < 0.05 over at least 8 runs. Over the data sets, a claim *held* if it is
supported on all, *held in part* if on some and contradicted on none, *did not hold* if contradicted on some and
supported on none, is *mixed* if both, and *undecided* otherwise. A claim for all cases held if no case is against it.
"""

EXACT = """\
Fisher and Hessian against the whole matrices, in float64, on networks small enough to form them; and operations
against [NeuroBench](https://github.com/NeuroBench/neurobench), where its conventions and ours agree: the energy of a
network is priced from these counts. The same command prints both: `python tools/verify.py`.
"""

AGAIN = """\
This page and its pictures are written by that command; no measured number and no verdict is written by hand. Runs and
measures that are done are taken up again. Pictures are PNG alone, for the size of the repository;
`tools/compare_runs.py` writes those of the comparisons as SVG and to TensorBoard, too, `tools/analyze.py` those of a
network.
"""
