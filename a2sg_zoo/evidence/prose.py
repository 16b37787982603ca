"""The prose of the document `why_it_works.md`: what was asked and how. No measurement can contradict it.

Numbers in braces are filled in from the configs and the settings of the measurements.
"""

SUMMARY = """\
The paper's argument for A2SG is a chain. Widths that are chosen for low variation, and an asymmetric shape, make
local gradients vary less. That leads to flatter minima. Flatter minima generalise better. This page tests each step
on small networks and real images:
"""

# {topic: how the section begins}
INTRODUCTIONS = dict(
    variation="""\
The first step of the paper: when widths are chosen by SGV and the shape is asymmetric, the local gradients dL/du of a
layer vary less. Its theory is about CV = Std / Mean(|.|). Its search minimises SGV = Var / Mean(|.|) at the last time
step. Both come from the logs of the runs, which have a record every {log_interval} steps. Where widths are searched
less often, every {rarely} steps, the records are those of the steps that search.""",
    consistency="""\
The second step: the widths of the earlier time steps are chosen so that the local gradients of neighbouring time
steps point in the same direction. TGC is their cosine.""",
    flatness="""\
The third step: less variation leads to flatter minima. "Flat" has several meanings, and one more for spiking
networks: their gradient and Hessian are those of the surrogate. A method with a higher or wider window therefore has
larger ones *at the same weights*. So there are three kinds of measure:

- With the method's own surrogate: the largest eigenvalue of the empirical Fisher (the paper's measure), the largest
  eigenvalue of the Hessian, and its trace.
- With one surrogate for all runs (TRI, beta = 1): the same eigenvalues. This compares weights, not surrogates.
- With the loss itself: SAM's sharpness L(w + {rho:g} g / |g|) - L(w), in which the surrogate gives only the
  direction; and the rise of the loss at both ends of random directions that are normalised for each filter (Li et al.
  2018), in which the surrogate plays no part.""",
    shape="""\
The paper finds that at unit area the triangle is steeper than the rectangle, and therefore ends in sharper regions.""",
    generalisation="""\
The last step: flatter minima generalise better.""",
    link="""\
Whether flat minima have a low test error can be asked of all runs together, whatever their method. The answer is
Spearman's rank correlation between sharpness and test error. It supports the claim if it is positive with p < 0.05.""",
    bridge="""\
The paper bounds the largest eigenvalue of a layer's Fisher block by mu^2 Lambda + c mu^2 CV(delta). Here delta is the
error at the layer's output, mu is its mean, Lambda is the eigenvalue for delta = 1, and c is "a constant"; CV is Std
/ |mu|. Some constant always makes this true, so only the form can be tested: whether the excess over mu^2 Lambda
grows linearly with CV. The triangle inequality, which needs no constant, has a linear and a quadratic term, and the
linear one is larger for CV < 1. If mu is tiny compared with Std, as for errors of both signs, both sides are divided
by a tiny mu^2. They then grow together whatever the network does, and nothing can be tested. What remains to test is
the conclusion: that runs with a larger CV have a larger eigenvalue.""",
    theorems="""\
Membrane potentials are taken as Gaussian. The window is [a, b], L = b - a, and kappa = a - mu. Theorem 4.1: TRI has
the least CV of the symmetric shapes "under certain constraints". Here they mean that the shape is convex on either
side and 0 at the edges of the window. Theorem 4.2: if L kappa > sigma^2, then CV_asy < CV_sym. Both are evaluated by
quadrature on {cases:,} random cases, and in every layer and time step of the trained networks.

With the window [V_th - beta, V_th + beta], kappa is V_th - beta - mu. So the condition needs a window that begins
above the mean of the potentials, by more than sigma^2 / (2 beta). For beta = V_th and mu near 0, kappa is almost 0.
Some beta meets the condition if mu < V_th and sigma < (V_th - mu) / sqrt(2); the last column but one of the table
counts this.""",
    growth="""\
For a symmetric window of fixed area the paper derives a Hessian of order Omega(1 / beta^2), while the Hessian of a
ReLU network does not depend on beta. This is measured on perceptrons with {width} neurons in a layer, on real digits,
with the same weights for every beta from {betas}. The Hessian is that of the hidden layers.""",
    energy="""\
The paper finds fewer spikes and less energy. E = 4.6 pJ x MACs + 0.9 pJ x SOPs (32 bit, 45 nm; Horowitz, ISSCC 2014)
is the energy of the arithmetic alone. Inference does not use the surrogate, so the surrogate affects energy only
through the firing rates at the end of training.""",
)

LIMITS = """\
- **Small networks.** {parameters} parameters, images of {sizes}, {steps} steps of SGD. The paper trains ResNet-19 and
  transformers for hundreds of epochs. What is undecided or does not hold here may hold there, and the other way
  round. Where the training loss in the table is far from 0, the network has not reached a minimum.
- **Few seeds.** Intervals over a handful of runs are wide, so "undecided" is often all that they can say. There are
  many tests, and they are not corrected for their number: one of twenty true null hypotheses is decided by chance.
- **One learning rate for all methods**, because sharpness depends on it. Accuracies differ when it is tuned for each
  method ([benchmarks](benchmarks/README.md)).
- **Runs of one method are similar**, and so are layers of one run. Rank correlations and slopes treat them as
  independent, so their p values and intervals are too small.
- **Reconstruction.** The search space, its sample, and h = 1/2 are this project's reading of the paper.
- **Records of searches.** In a run that searches, a record is about the batch for which the widths were just chosen.
- **Sharpness depends on the loss.** Fisher and Hessian shrink with the training loss, whatever the shape of the
  landscape. Compare the training losses in the table before the eigenvalues.
"""

RULES = """\
A difference between two methods counts if the 95 % confidence interval of the difference of their means over seeds
(Welch's t) does not contain 0. A rank correlation counts if p < 0.05 over at least 8 runs. A claim about all cases is
supported if no case is against it. Over the data sets, a claim *held* if all support it. It *held in part* if some
support it and none contradicts it. It is *mixed* if some support it and some contradict it. It *did not hold* if some
contradict it and none supports it. Otherwise it is *undecided*.
"""

EXACT = """\
Fisher and Hessian are compared with the full matrices, in float64, on networks small enough to form them. Operations
are compared with [NeuroBench](https://github.com/NeuroBench/neurobench) where its conventions and ours agree; the
energy of a network follows from these counts. `a2sg-zoo verify` prints both tables.
"""

REPEAT = """\
This command writes the page and its pictures; no measured number and no verdict is written by hand. Run it again to
continue an interrupted one: finished runs and measurements are kept. `a2sg-zoo compare_runs` writes the pictures of
the comparisons as SVG and to TensorBoard, too, and `a2sg-zoo analyze` those of a network.
"""
