"""The prose of the pages `why_it_works.md` and `why_it_works_details.md`: what was asked and how.

No measurement can contradict it. Numbers in braces are filled in from the configs and the settings of the measurements.
"""

SUMMARY = """\
The paper's argument for A2SG is a chain of three links. Widths that are chosen for low variation, and an asymmetric
shape, make local gradients vary less and agree better over time. Such gradients lead to flatter minima. Flatter minima
generalise better. This page tests each link with A2SG in place of a fixed triangle, on small networks after many passes
over few real images:
"""

# how the section of each link on the first page begins
LINK_INTRODUCTIONS = (
    """\
Over the local gradients delta = dL/du of a layer, CV = Std / Mean(|.|), and SGV = Var / Mean(|.|) at the last time
step; TGC is the cosine of the gradients of neighbouring time steps. The figures are means over layers and the whole
training, ± the standard deviation over seeds.""",
    """\
A spiking network has the gradient of its surrogate, so a wide or high window has a larger Fisher eigenvalue at the same
weights. The largest eigenvalue of the empirical Fisher is therefore measured with the method's own surrogate, as in the
paper, and with TRI, beta = 1, for all. The rise of the loss along random directions needs no surrogate.""",
    """\
Training accuracy and loss are those of the final network on its training images without augmentation. The test images
were scored once, after the last step. A gap is the difference between training and test.""",
)

RULES = """\
A difference between two methods counts if the 95 % confidence interval of the difference of their means over seeds
(Welch's t) does not contain 0. A rank correlation counts if p < 0.05 over at least 8 runs. A claim about all cases is
supported if no case is against it. Over the data sets, a claim *held* if all support it; *held in part* if some support
it and none contradicts it; is *mixed* if some support and some contradict it; *did not hold* if some contradict it and
none supports it; and is *undecided* otherwise.
"""

LIMITS = """\
- **Small networks, few images.** {parameters} parameters, images of {sizes} pixels, {images} of them. The paper trains
  ResNet-19 and transformers on whole data sets. What is undecided or does not hold here may hold there, and the other
  way round.
- **Few seeds.** Intervals over a handful of runs are wide, and the tests are not corrected for their number: one of
  twenty true null hypotheses is decided by chance. Rank correlations treat runs of one method as independent.
- **One learning rate for all methods**, because sharpness depends on it. [Benchmarks](benchmarks/README.md) tune it.
- **Reconstruction.** The search space, its sample, the interval of searches, and h = 1/2 are readings of the paper.
- **Sharpness depends on the loss.** Fisher and Hessian shrink with the training loss, whatever the landscape.
- **Records of searches.** In a run that searches, a record is about the batch for which the widths were just chosen.
"""

REPEAT = """\
This command writes both pages and their pictures; no measured number and no verdict is written by hand. Run it again to
continue an interrupted one: finished runs and measurements are kept.
"""

DETAILS = """\
Every claim that was tested, on the runs of [the page on the paper's argument](why_it_works.md). The rules of verdicts,
the networks, the data and the limits are [there](why_it_works.md#what-was-measured).
"""

# {topic: how its section of the second page begins}
INTRODUCTIONS = dict(
    variation="""\
Does choosing widths by SGV, and an asymmetric shape, make the local gradients of a layer vary less? The logs of the
runs have a record every {log_interval} steps.""",
    consistency="""\
Does choosing the widths of the earlier time steps by TGC make the gradients of neighbouring time steps agree?""",
    flatness="""\
SAM's sharpness is L(w + {rho:g} g / |g|) - L(w), in which the surrogate gives only the direction. The rise of the loss
is that at both ends of random directions that are normalised for each filter (Li et al. 2018).""",
    shape="""\
The paper finds that at unit area the triangle is steeper than the rectangle, and therefore ends in sharper regions.""",
    generalisation="""\
The gap of the loss is test loss minus training loss, that of the accuracy is training minus test accuracy.""",
    link="""\
Do flat minima have a low test error, over all runs, whatever their method? Spearman's rank correlation between
sharpness and test error supports it if it is positive with p < 0.05.""",
    bridge="""\
The paper bounds the largest eigenvalue of a layer's Fisher block by mu^2 Lambda + c mu^2 CV(delta): delta is the error
at the layer's output, mu its mean, Lambda the eigenvalue for delta = 1, and CV = Std / |mu|. Some constant c always
makes this true, so only the form can be tested: whether the excess over mu^2 Lambda grows linearly with CV. The
triangle inequality, which needs no constant, has a linear and a quadratic term, and the linear one is larger for CV < 1
only. If mu is tiny compared with Std, both sides are divided by a tiny mu^2 and grow together whatever the network
does. What remains to test is the conclusion: that runs with a larger CV have a larger eigenvalue.""",
    theorems="""\
Membrane potentials are taken as Gaussian. The window is [a, b], L = b - a, and kappa = a - mu. Theorem 4.1: TRI has the
least CV of the symmetric shapes "under certain constraints", here that the shape is convex on either side and 0 at the
edges. Theorem 4.2: if L kappa > sigma^2, then CV_asy < CV_sym. Both are evaluated by quadrature on {cases:,} random
cases, and in every layer and time step of the trained networks. With the window [V_th - beta, V_th + beta], kappa is
V_th - beta - mu: the window has to begin above the mean of the potentials, by more than sigma^2 / (2 beta). Some beta
meets the condition if mu < V_th and sigma < (V_th - mu) / sqrt(2).""",
    growth="""\
For a symmetric window of fixed area the paper derives a Hessian of order Omega(1 / beta^2), while that of a ReLU
network does not depend on beta. This is measured on perceptrons with {width} neurons in a layer, on real digits, with
the same weights for every beta from {betas}. The Hessian is that of the hidden layers.""",
    energy="""\
E = 4.6 pJ x MACs + 0.9 pJ x SOPs (32 bit, 45 nm; Horowitz, ISSCC 2014) is the energy of the arithmetic alone.
Inference does not use the surrogate, which affects energy only through the firing rates at the end of training.""",
)

EXACT = """\
Fisher and Hessian are compared with the full matrices, in float64, on networks small enough to form them. Operations
are compared with [NeuroBench](https://github.com/NeuroBench/neurobench) where its conventions and ours agree.
`a2sg-zoo verify` prints both tables.
"""
