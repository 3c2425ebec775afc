# %% [markdown]
# # Alignment and robustness: bounds, and where they break
#
# *C. Etmann, S. Lunz, P. Maass and C.-B. Schönlieb, “On the Connection Between Adversarial Robustness and Saliency Map
# Interpretability”* {cite:p}`etmann2019`.
#
# Why should a network that resists attacks have gradients that look like its images {cite:p}`tsipras2019`? For a linear classifier through the
# origin the answer is one line: the distance of $x$ to the decision boundary *is* the length of its projection onto the gradient. The paper asks
# **how much of this survives in a deep ReLU network**, proves bounds for the gap, and measures them on nets of growing robustness. This chapter
# executes the theorems (one is false as printed), repeats the measurement on nets of its own, and asks what in it is the net's and what is a convention.

# %% tags=["parameters", "hide-input"]
# Every name here can be changed: companion run alignment_bounds -p NAME=VALUE
# fmt: off
dataset: str = "mnist_small"  # one of mnist_small, digits, mnist, fashion_mnist, cifar10, folder:PATH: the images
n_train: int = 1000  # in [0, inf): training images used, those held out among them; 0 for all
n_test: int = 150  # in [0, inf): test images measured, 0 for all
hold_out: float = 0.2  # in (0, 1): fraction of the training images held out, to judge whether a net has degenerated and to match accuracies
n_attacked: int = 80  # in [10, inf): test images attacked by DDN
n_papers: int = 40  # in [10, inf): of these, images attacked by the paper's three attacks
attacked_seeds: list[int] = [0]  # in [0, inf): seeds whose nets the paper's three attacks attack, among `seeds`
channels: list[int] = [4, 8, 16]  # in [1, inf), repeats allowed: filters of SmallNet's three convolutions; the paper's are 32, 64, 128
hidden: int = 32  # in [1, inf): units of SmallNet's dense layer; the paper's is 128
dropout: float = 0.3  # in [0, 1): fraction of hidden units dropped in training; the paper's is 0.5
seeds: list[int] = [0, 1, 2]  # in [0, inf): one set of nets each; claims are judged over seeds
epochs: int = 7  # in [1, inf): passes over the training images
batch_size: int = 20  # in [1, inf): images in a training step
lr: float = 0.05  # in (0, inf): first learning rate of SGD
momentum: float = 0.9  # in [0, 1): of SGD
weight_decay: float = 0.0  # in [0, inf): of SGD; the released code's penalty 1e-6 * sum of squares is 2e-6 here
schedule: str = "cosine"  # one of cosine, constant, step: learning rate; step is the released code's
lambdas: list[float] = [0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0]  # in [0, inf): weights of the gradient penalty, eq. 17; 0 for no penalty
degenerate: float = 0.9  # in [0, 1]: a net below this fraction of the best held-out accuracy counts as degenerate
origins: list[float] = [0.0, 0.25, 0.5, 0.75, 1.0]  # in [0, 1]: pixel values that count as zero, black 0, grey 0.5 and white 1 among them
commons: list[float] = [-2.0, -1.0, 0.0, 1.0, 2.0]  # in (-inf, inf): weights of the common function, 0 among them
ddn_steps: int = 25  # in [1, inf): steps of DDN
line_steps: int = 100  # in [1, inf): grid points of the gradient line search; the paper's 1000
bim_steps: int = 8  # in [1, inf): iterations of BIM at each radius; the paper's 10
bim_search: int = 8  # in [1, inf): radii tried, and as many bisections; the paper's 20
cw_steps: int = 40  # in [1, inf): Adam steps of Carlini-Wagner for each constant; the paper's 1000
cw_search: int = 5  # in [1, inf): constants tried
cw_lr: float = 0.05  # in (0, inf): Adam's rate; the paper's 0.005 goes with its 1000 steps
checked_images: int = 40  # in [10, inf): images on which the evaluation checks look at two nets
random_nets: int = 60  # in [1, inf): random nets on which lemma 2 and theorem 1 are checked
bound_nets: int = 40  # in [2, inf): random nets on which theorems 2 and 3 are checked, 50 inputs each
weights_outlook: list[float] = [0.0003, 0.003]  # in (0, inf): weights of the outlook's penalty, and of its first summand alone
weights_angle: list[float] = [0.1]  # in (0, inf): weights of its angle alone
weights_raw: list[float] = [0.003]  # in (0, inf): weights of the first summand on raw logits, as the paper writes it
imagenet: bool = False  # also run the paper's larger half, ResNet-50 on a folder of images that is streamed (a GPU)
imagenet_folder: str = "imagenet"  # a folder with train/CLASS/*.jpg and val/CLASS/*.jpg
imagenet_size: int = 256  # in [32, inf): side of the images in pixels
imagenet_weights: str = "IMAGENET1K_V1"  # one of IMAGENET1K_V1, IMAGENET1K_V2, none: where fine-tuning starts; torchvision fetches them
imagenet_epochs: int = 35  # in [1, inf): passes of the fine-tuning
imagenet_batch_size: int = 32  # in [2, inf): images in a step of it
imagenet_lambdas: list[float] = [0.0, 6e-4, 0.002, 0.006, 0.02, 0.06, 0.2, 0.6]  # in [0, inf): weights of eq. 17, pixels in [0, 1]
imagenet_seeds: list[int] = [0]  # in [0, inf): one set of fine-tuned nets each
imagenet_n_train: int = 0  # in [0, inf): training images used, 0 for all
imagenet_n_test: int = 1000  # in [1, inf): validation images measured and attacked
workers: int = 8  # in [0, inf): processes that decode images
device: str = "auto"  # one of auto, cpu, cuda: where to compute
# fmt: on

# %%
from companion.publishing.running import chapter

run = chapter.begin(globals(), notebook="alignment_bounds")

# %%
import numpy as np
import pandas as pd
import torch
from IPython.display import display

from companion import checks, data, experiment, losses, metrics, playground, plots, store
from companion.attacks import minimal
from companion.experiment import streamed
from companion.publishing.claims import verdicts
from companion.publishing.explorers import explorer, planar
from companion.publishing.pages import badges, fidelity, show, sources, tables
from companion.training import Recipe, part

device = experiment.choose_device(device)
images = data.load(dataset, device=device, n_train=n_train or None, n_test=n_test or None)
counts = f"{len(images.x_train)} training and {len(images.x_test)} test images, {len(seeds)} seed(s)"
show.opening(run, f"{images.label}: {counts}", "the CPU" if device == "cpu" else device)

# %% [markdown]
# (et-top)=
# ## The question in one picture

# %% tags=["remove-input"]
run.later("picture")
run.later("found")

# %% [markdown]
# ## The idea: robustness and alignment
#
# Let $F(x) = \arg\max_i \Psi^i(x)$ be a classifier with logits $\Psi^1, \dots, \Psi^n$, $\lVert\cdot\rVert$ the Euclidean norm and $i^* = F(x)$ the predicted class. Nothing on this
# page refers to the true label: robustness and alignment are properties of the classifier.
#
# ```{prf:definition} Robustness, linearised robustness, alignment
# :label: et-def
# $$
# \begin{aligned}
# \rho(x) &= \inf\{\lVert e\rVert : F(x+e) \ne F(x)\}, \\
# \tilde\rho(x) &= \min_{j \ne i^*} \frac{\Psi^{i^*}(x) - \Psi^j(x)}{\lVert \nabla\Psi^{i^*}(x) - \nabla\Psi^j(x)\rVert}, \\
# \alpha(x) &= \frac{|\langle x, \nabla\Psi^{i^*}(x)\rangle|}{\lVert\nabla\Psi^{i^*}(x)\rVert}.
# \end{aligned}
# $$
# With $j^*$ the minimiser in $\tilde\rho$, the *binarised* classifier decides between $i^*$ and $j^*$ by the sign of $\Psi^\dagger = \Psi^{i^*} - \Psi^{j^*}$; its gradient
# is $g^\dagger = \nabla\Psi^\dagger(x)$, and its alignment $\alpha^\dagger(x) = |\langle x, g^\dagger\rangle| / \lVert g^\dagger\rVert$. For the predicted class alone, $g = \nabla\Psi^{i^*}(x)$.
# ```
#
# $\alpha$ is a length, $\lVert x\rVert$ times the cosine between image and gradient, and lives on the same axis as $\rho$.

# %%
sources.of(metrics.alignment, metrics.binarised_alignment, metrics.linearised_robustness)

# %% [markdown]
# (et-c1)=
# ### Linear classifiers
#
# ```{prf:proposition} Linear classifiers
# :label: et-linear
# For $F(x) = \operatorname{sgn}\langle x, z\rangle$ with $z \ne 0$: $\rho(x) = \alpha(x)$. For $F(x) = \operatorname{sgn}(\langle x, z\rangle + b)$:
# $\rho(x) \le \alpha(x) + |b| / \lVert z\rVert$, and $\rho(x) = \alpha(\xi)$ at the shifted point $\xi = x + b z / \lVert z\rVert^2$.
# ```
#
# ```{prf:proof}
# The boundary is the hyperplane $\langle y, z\rangle + b = 0$, and the distance of $x$ to it is $|\langle x, z\rangle + b| / \lVert z\rVert$. With $b = 0$ this is
# $\alpha(x)$, since $z$ is the gradient everywhere; otherwise the triangle inequality gives the bound, and $\langle \xi, z\rangle = \langle x, z\rangle + b$ the identity.
# ```
#
# These two ways to deal with the bias, paying for it or moving the point, become the two theorems for networks. (The linear case does not say that a *trained* robust model is aligned: it
# says that for a linear model the two words mean the same number.)
#
# ```{prf:lemma} Linearised robustness is exact within an affine region
# :label: et-lemma1
# Let all logits be affine in the ball of radius $l(x)$ around $x$. If $l(x) \ge \rho(x)$, then $\rho(x) = \tilde\rho(x)$.
# ```
#
# ```{prf:proof}
# Inside the ball $F$ changes where some $\Psi^j$ overtakes $\Psi^{i^*}$. There the set $\{\Psi^j \ge \Psi^{i^*}\}$ is a half-space at distance
# $(\Psi^{i^*}(x) - \Psi^j(x)) / \lVert\nabla\Psi^{i^*}(x) - \nabla\Psi^j(x)\rVert$ from $x$. The nearest of them is at $\tilde\rho(x)$, and it counts because the ball reaches the boundary.
# ```
#
# In trained networks $l(x)$ is tiny, far below $\rho(x)$, so that $\tilde\rho$ is an estimate, neither an upper nor a lower bound. Whether it is a good one is an empirical question
# ({ref}`ET-F5 <et-f5>`). The paper says so too (ET-E8).
#
# (et-c2)=
# ### Networks without biases
#
# ```{prf:lemma} Linearised robustness of homogeneous classifiers
# :label: et-lemma2
# If the logits are positive one-homogeneous, $\Psi(ax) = a\Psi(x)$ for $a > 0$, then $\tilde\rho(x) = \alpha^\dagger(x)$ wherever they are differentiable and $g^\dagger \ne 0$.
# ```
#
# ```{prf:proof}
# Differentiating $\Psi^i(ax) = a \Psi^i(x)$ in $a$ at $a = 1$ gives Euler's identity $\Psi^i(x) = \langle x, \nabla\Psi^i(x)\rangle$. So the numerator of $\tilde\rho$ at its minimiser is
# $\langle x, g^\dagger\rangle$, and it is not negative because $i^*$ has the largest logit.
# ```
#
# Convolutions and dense layers without biases, ReLU, leaky ReLU, pooling, padding that adds no constant and upsampling are homogeneous, and so is everything built from them. Biases are what keeps a real network
# from it, and the next theorem measures exactly how much.
#
# (et-c3)=
# ### What the biases contribute
#
# ```{prf:theorem} Homogeneous decomposition
# :label: et-thm1
# Let $\Psi^i_{\Theta,b}$ be a logit of a network of affine layers, (leaky) ReLU, max- and average-pooling and BatchNorm in evaluation mode, with linear weights $\Theta$ and $b$ the vector
# of all its constants: biases, BatchNorm shifts and running means. Wherever it is differentiable,
#
# $$
# \begin{aligned}
# \Psi^i(x) &= \langle x, \nabla_x\Psi^i(x)\rangle + \beta^i(x), \\
# \beta^i(x) &= \langle b, \nabla_b\Psi^i(x)\rangle .
# \end{aligned}
# $$
# ```
#
# ```{prf:proof}
# For fixed $\Theta$, every pre-activation is positive one-homogeneous in the pair $(x, b)$ *jointly*: an affine layer maps $(h, c)$ to $Wh + c$, BatchNorm maps $h$ to $s\,(h - \mu) + t$ with
# constants $\mu$ and $t$, and the other layers pass a positive factor through. Euler's identity for $(x, b) \mapsto \Psi^i$ is the claim.
# ```
#
# $\beta^i$ is constant within each linear region of the net. Write $\beta^\dagger = \beta^{i^*} - \beta^{j^*}$. The running means belong to $b$: left out, the sum misses the logit.

# %%
sources.of(metrics.homogeneous_decomposition)

# %% [markdown]
# (et-c4)=
# ### Two bounds
#
# ```{prf:theorem} Paying for the biases
# :label: et-thm2
# Let the logits be differentiable at $x$, $g \ne 0$, $g^\dagger \ne 0$, and $\bar v = v / \lVert v\rVert$. Then
#
# $$
# \begin{aligned}
# \tilde\rho(x) &\le \alpha^\dagger(x) + \frac{|\beta^\dagger|}{\lVert g^\dagger\rVert} \\
# &\le \alpha(x) + \lVert x\rVert\, \lVert \bar g^\dagger - \bar g\rVert + \frac{|\beta^\dagger|}{\lVert g^\dagger\rVert}.
# \end{aligned}
# $$
# ```
#
# ```{prf:proof}
# By {prf:ref}`et-thm1`, $\tilde\rho\,\lVert g^\dagger\rVert = \Psi^\dagger(x) = \langle x, g^\dagger\rangle + \beta^\dagger$; the triangle inequality is the first bound. For the second, split
# $\langle x, \bar g^\dagger\rangle = \langle x, \bar g\rangle + \langle x, \bar g^\dagger - \bar g\rangle$ and use Cauchy–Schwarz on the last term.
# ```
#
# ```{prf:theorem} Moving the point, corrected
# :label: et-thm3
# Let $\xi = x + \beta^\dagger g^\dagger / \lVert g^\dagger\rVert^2$, the logits be differentiable at $\xi$ too, and $\gamma = \nabla\Psi^{i^*}(\xi) \ne 0$. Then
#
# $$
# \tilde\rho(x) \;\le\; \frac{|\langle \xi, \gamma\rangle|}{\lVert\gamma\rVert} + \lVert\xi\rVert\, \lVert \bar g^\dagger - \bar\gamma\rVert ,
# $$
#
# and where $F(\xi) = F(x)$ the first term is $\alpha(\xi)$.
# ```
#
# ```{prf:proof}
# $\langle \xi, g^\dagger\rangle = \langle x, g^\dagger\rangle + \beta^\dagger = \Psi^\dagger(x)$, so $\tilde\rho(x) = |\langle\xi, \bar g^\dagger\rangle|$ *exactly*. Split
# $\bar g^\dagger = \bar\gamma + (\bar g^\dagger - \bar\gamma)$ and use Cauchy–Schwarz.
# ```
#
# The paper's proofs do not name these conditions ($g$, $g^\dagger$, $\gamma \ne 0$, differentiability). The last one fails on a null set, and many images with a black background lie in it: equal values meet in a window of max-pooling.
# Which of the one-sided gradients is taken hardly matters; the table below moves every pixel a little and looks.
#
# (et-e1)=
# **The erratum (ET-E1).** The paper prints $\lVert\bar g^\dagger - \bar g\rVert$ in the last term, in eq. 16 and again in eq. 20. The proof needs $\bar\gamma$, the direction of the gradient at the
# *shifted* point, and the surrounding text argues with $\gamma$ as well. With $\bar g$ the inequality is false: if $\xi$ lies in another linear region than $x$, the printed right-hand side says
# nothing about how the gradient turned on the way. Two hidden units are enough: two classes with logits $(\Psi, 0)$ and
#
# $$
# \Psi(p) = \operatorname{relu}(p_1 + \tfrac34) + \operatorname{relu}(p_1 - 3p_2 + \tfrac78) - \tfrac12 ,
# $$
#
# at $x = (\tfrac12, \tfrac12)$. Then $\bar g^\dagger = \bar g$, so the printed error term vanishes; and $\gamma$ is orthogonal to $\xi$, so the printed right-hand side is **0**, while the boundary is $\tfrac34$ away.

# %%
sources.of(metrics.alignment_terms)

# %%
HIDDEN = [(1.0, 0.2, -0.35), (-0.6, 1.0, -0.1), (0.8, -1.0, 0.2), (-0.8, -0.7, 0.9)]
OUT = [(2.0, -1.0, 0.5, -0.5, -0.2), (-1.5, 2.0, -0.5, 0.3, 0.1), (-0.3, -0.6, 0.2, 2.0, -0.3)]
COUNTER = {"hidden": [(1.0, 0.0, 0.75), (1.0, -3.0, 0.875)], "out": [(1.0, 1.0, -0.5), (0.0,) * 3]}
FREE = {"hidden": [(*w[:2], 0.0) for w in HIDDEN], "out": [(*v[:-1], 0.0) for v in OUT]}
TOLD = {
    "counter-example": "The net of ET-E1. Follow the printed bound while x₁ grows.",
    "without biases": "All decision boundaries are rays from the origin, so is the linearised one: ρ̃ = α†.",
    "with biases": "The same weights with biases. Can you find a violation of the printed Theorem 3?",
}
plane = [
    planar.Net("counter-example", TOLD["counter-example"], **COUNTER, start=(0.5, 0.5), low=-0.8, high=1.2),
    planar.Net("without biases", TOLD["without biases"], **FREE, start=(0.7, 0.4), low=-0.15, high=1.1),
    planar.Net("with biases", TOLD["with biases"], HIDDEN, OUT, start=(0.8, 0.6), low=-0.15, high=1.1),
]
planar.explorer(
    plane,
    caption="<b>Robustness and alignment in the plane.</b> Drag x, or slide it. Shaded: the classes, and darker the region in which the net is affine. Circle "
    "and solid line: the distance ρ, exact. Blue, dashed: ρ̃, and the boundary as linearised at x. Orange: g, and α, the length of x's projection onto it.",
)

# %% [markdown]
# **The algebra, executed**, in float64 on classifiers drawn at random, and for the counter-example above.

# %%
algebra = pd.DataFrame(
    metrics.linear_identities()
    + metrics.affine_regions()
    + metrics.homogeneous_nets(random_nets)
    + metrics.decompositions(random_nets)
    + metrics.bounds(bound_nets)
)
plane_net = metrics.plane_net(*(torch.tensor(rows, dtype=torch.float64) for rows in COUNTER.values()))
counter = metrics.alignment_terms(plane_net, torch.full((1, 2), 0.5, dtype=torch.float64))
for row in algebra.itertuples():
    run.record("ET-ALG", row.quantity, row.value, claim=row.claim, of=row.compares)
for of, found in (
    ("theorem 3 as printed", counter.bound_3_printed),
    ("theorem 3 with gamma", counter.bound_3),
):
    run.record("ET-E1", "bound", found.item(), of=of)
run.record("ET-E1", "rho_tilde", counter.rho_tilde.item())
printed = experiment.where(algebra, quantity="violations as printed, per cent")["value"].item()
show.listed(
    algebra,
    ["claim", "compares", "quantity", "value"],
    caption=f"<b>ET-C1 to ET-C5</b>. A gap is the largest deviation from an equality, which should be rounding alone. At the counter-example ρ̃ is {counter.rho_tilde.item():.2f}, "
    f"the printed right-hand side {counter.bound_3_printed.item():.2f}, the corrected one {counter.bound_3.item():.2f}.",
)

# %% [markdown]
# (et-convention)=
# ### Three things that change no decision, and move α
#
# The bounds are about $\alpha^\dagger$ and, with an error term, $\alpha$. Neither is a property of the classifier alone.
#
# * **The origin.** $\langle x, g\rangle$ measures the image from the value 0. With pixels in $[0, 1]$ that is the black image; standardised pixels have their zero in a grey one, and on ImageNet the
#   paper's is the mean colour. From the origin $o$ the image is $x - o$, and $\beta^\dagger$ takes up the rest: $\beta^\dagger_o = \beta^\dagger + \langle o, g^\dagger\rangle$.
# * **A common function.** Add one function $h(x)$ to *all* logits. No decision, probability, $\rho$, $\tilde\rho$, $\alpha^\dagger$ or training loss changes, but $g$ becomes $g + \nabla h$. With
#   $h = \tfrac c2 \lVert x\rVert^2$ it is $g + c\,x$, and $\alpha$ goes from 0 to its largest value $\lVert x\rVert$ as $c$ grows.
# * **The gauge.** The *centred* logits $\Psi^i - \frac1n \sum_j \Psi^j$ are the same for all these nets. With $\bar\Psi$ the mean logit, the share of $g$ that is common to all classes is
#
# $$
# \lVert \nabla\bar\Psi(x)\rVert^2 / \lVert g\rVert^2 .
# $$ (et-share)
#
# Where it is small, raw and centred alignments agree. Where it is above 5 % (or differs between nets), only centred logits, or $g^\dagger$, can be compared.
#
# ## The nets
#
# The paper makes nets of different robustness by *double backpropagation* {cite:p}`drucker1992`, a penalty on the local Lipschitz constant of the loss:
#
# $$
# \frac1N \sum_k \Big[ \mathcal L(x_k, y_k) + \lambda\, \lVert \nabla_x \mathcal L(x_k, y_k)\rVert^2 \Big].
# $$ (et-dbp)
#
# The paper's $\lambda$ runs from 10 to 180,000. Its released code differentiates the *batch mean* of the loss, which makes the penalty $1/B^2$ of {eq}`et-dbp`, so these are 0.001 to 18 in the units of
# the equation ($B = 100$). This chapter speaks in units of the equation. Its own nets with $\lambda = 0$ stand for an undefended one.

# %%
sources.of(losses.double_backprop, losses.alignment_penalty)

# %%
common = {
    "data": part(dataset, n_train=n_train or None, hold_out=hold_out),
    "model": part("small_net", channels=channels, hidden=hidden, dropout=dropout),
    "optimiser": part("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay),
    "schedule": schedule,
    "epochs": epochs,
    "batch_size": batch_size,
}


def double_backprop(seed: int) -> dict[float, Recipe]:
    plain = Recipe(**common, seed=seed)
    penalty = {w: part("double_backprop", lambda_g=w) for w in lambdas if w}
    return {w: Recipe(**common, loss=penalty[w], seed=seed) if w else plain for w in lambdas}


# %% [markdown]
# For {ref}`the outlook's experiment <et-outlook>`, nets with the penalty that the paper proposes there, and its controls.

# %%
KINDS = {f"outlook, {w:g}": ("outlook", w, True) for w in weights_outlook}
KINDS |= {f"norm, {w:g}": ("norm", w, True) for w in weights_outlook}
KINDS |= {f"angle, {w:g}": ("angle", w, True) for w in weights_angle}
KINDS |= {f"norm of raw logits, {w:g}": ("norm", w, False) for w in weights_raw}


def penalised(seed: int) -> dict[str, Recipe]:
    losses_of = {
        name: part("alignment_penalty", term=term, lambda_a=w, centred=centred)
        for name, (term, w, centred) in KINDS.items()
    }
    return {name: Recipe(**common, loss=loss, seed=seed) for name, loss in losses_of.items()}


# %%
how = {"device": device, "report": run.status}
cohort = experiment.train(double_backprop, seeds, announce=run.announce, **how)
penalty_nets = experiment.train(penalised, seeds, announce=run.announce, **how)
nets = cohort | penalty_nets

# %% [markdown]
# **What is measured of every net.** The terms of the theorems at every test image; alignments from several origins and with several common functions; the distance that DDN {cite:p}`rony2019` finds,
# the nearest of the attacks here, against the net's own prediction, as in the paper. A net is the unit: its numbers are medians over images. The horizontal axis of all figures is one and the same,
# the median distance by attack: an estimate like $\tilde\rho$ shares its logits and gradients with $\alpha$, and the two may agree for that reason.

# %%
validation = data.load(dataset, device=device, n_train=n_train or None, hold_out=hold_out)
held = experiment.measure(metrics.clean_accuracy, nets, validation, **how)
clean = experiment.measure(metrics.clean_accuracy, nets, images, **how)
settings = {"count": len(images.x_test), "origins": origins, "commons": commons}
values = experiment.measure(metrics.alignment_values, nets, images, **settings, **how)
ddn = {"attack": "DDN", "count": n_attacked, "steps": ddn_steps}
near = experiment.measure(metrics.nearest_distance, nets, images, **ddn, **how)

RHO = "median distance ρ (DDN)"
distance = near.set_index(["model", "seed"])["value"].rename(RHO)
of_net = distance.groupby("model").mean()
accuracy = held.groupby("model")["value"].mean()
steady = [name for name in accuracy.index if accuracy[name] >= degenerate * accuracy.max()]
by_robustness = sorted((w for w in lambdas if w in steady), key=of_net.get)
LEAST, MIDDLE, MOST = (by_robustness[i] for i in (0, len(by_robustness) // 2, -1))


# %%
def beside_distance(frame: pd.DataFrame) -> pd.DataFrame:
    places = zip(frame["model"], frame["seed"], strict=True)
    return frame.assign(**{RHO: [distance[place] for place in places]})


def of_cohort(quantity: str, name: str, **labels) -> pd.DataFrame:
    """One quantity of the nets of double backpropagation, beside the distance; `name` is its axis."""
    chosen = experiment.where(values, quantity=quantity, **labels)
    chosen = beside_distance(chosen[chosen["model"].isin(lambdas)])
    return chosen.assign(**{name: chosen["value"]})


def trend(frame: pd.DataFrame, along: str = RHO) -> list[float]:
    """Spearman's correlation of the value with the distance over the nets of each seed."""
    usable = frame[frame["model"].isin(steady)]
    return [experiment.rank_correlation(of, along) for _, of in usable.groupby("seed")]


def record(about: str, frame: pd.DataFrame, *more: str, **labels) -> None:
    place = {LEAST: "least robust", MOST: "most robust"}
    told = frame.assign(**{"lambda": frame["model"]})
    told["degenerate"] = told["model"].map(lambda w: "no" if w in steady else "yes")
    told["place"] = told["model"].map(lambda w: place.get(w, "between"))
    run.record_frame(about, told, ["lambda", "degenerate", "place", *more], dataset=images.label, **labels)


def draw(panels: dict, y: str, alt: str, finding: str, **look) -> plots.Shown:
    solid = {"filled": lambda row: row["model"] in steady, "names": "λ"} | look
    return plots.show(plots.points(panels, RHO, y, plots.ramp(lambdas), **solid), alt=alt, finding=finding)


# %%
BLACK = {"origin": 0.0, "common": 0.0}
COLOUR = {0.0: "black", 0.5: "grey", 1.0: "white"}
ALPHA, DAGGER, CENTRED = "median α", "median α†", "median α of centred logits"
alpha, dagger = of_cohort("alpha", ALPHA, **BLACK), of_cohort("alpha_plus", DAGGER, **BLACK)
centred = of_cohort("centred alpha", CENTRED, **BLACK)

picked = plots.one_of_each(images.y_test, 5)
x = images.x_test[picked]
shown = list(dict.fromkeys([LEAST, by_robustness[len(by_robustness) // 3], MIDDLE, MOST]))


def at(weight: float) -> metrics.AlignmentTerms:
    return metrics.alignment_terms(store.get(cohort[weight, seeds[0]], device=device), x)


# %% tags=["hide-input"]
maps = {f"λ = {w:g}, ρ {of_net[w]:.2f}": list(at(w).g) for w in shown}
by_image = [("", [x[i], *(pictures[i] for pictures in maps.values())]) for i in range(3)]
titles = ["", *(f"ρ = {of_net[w]:.2f}" for w in shown)]
plots.save(plots.gallery(by_image, columns=titles, pixels="first column"), run.folder / "question")
gallery = plots.show(
    plots.gallery([("image", list(x)), *maps.items()], pixels="first row"),
    alt="Test images, and below each the gradient of the predicted class's logit in nets of growing robustness.",
    finding=f"Test images of {images.label}, one of each of the first classes, none chosen by hand, and the gradient of the predicted class's logit "
    f"in nets with a growing gradient penalty λ and their median distance ρ to the nearest attacked image (seed {seeds[0]}). Each map ± its largest value.",
)
answer = draw(
    {"of the predicted class, α": alpha.assign(**{"median alignment": alpha["value"]})}
    | {"of its lead, α†": dagger.assign(**{"median alignment": dagger["value"]})},
    "median alignment",
    "Median alignment, of the predicted class's logit and of its lead, against median distance by attack.",
    f"A dot is a net: {len(lambdas)} weights λ, {len(seeds)} seed(s). With the paper's origin, black, "
    f"α {experiment.direction(trend(alpha))} with the distance; α† {experiment.direction(trend(dagger))}. Hollow: degenerated.",
)
run.fill("picture", plots.Shown(gallery.html + answer.html))

# %% [markdown]
# ## Experiments
#
# (et-f3)=
# ### ET-F3: median alignment against median robustness
#
# The paper's figure 3, with its three attacks: a line search along the loss gradient, the basic iterative method with a search for its radius {cite:p}`kurakin2017`, and Carlini and Wagner's
# attack {cite:p}`carlini2017`. An attack gives an upper bound of $\rho$. Beside DDN's distance, how far each of them has to go, and the linearised $\tilde\rho$, which can err on either side.

# %%
sources.of(minimal.gradient_line_search, minimal.l2_bim, minimal.carlini_wagner, minimal.ddn)

# %%
PAPERS = {
    "gradient": {"steps": line_steps},
    "BIM": {"steps": bim_steps, "search": bim_search},
    "CW": {"steps": cw_steps, "search": cw_search, "lr": cw_lr},
}
first = {place: recipe for place, recipe in cohort.items() if place[1] in attacked_seeds}
on_few = {"count": min(n_papers, n_attacked), **how}
papers = [
    experiment.measure(metrics.nearest_distance, first, images, attack=name, **budget, **on_few)
    for name, budget in PAPERS.items()
]
by_attack = beside_distance(pd.concat([*papers, near[near["model"].isin(lambdas)]]))
rho_tilde = of_cohort("rho_tilde", "median ρ̃").assign(attack="rho_tilde")
record("ET-F3", by_attack.assign(quantity="median distance"), "attack")
record("ET-F3", clean[clean["model"].isin(lambdas)])
for quantity in ("rho_tilde", "slope", "common share"):
    record("ET-F3", experiment.where(values[values["model"].isin(lambdas)], quantity=quantity))

# %%
FAR = "median distance"
measured = pd.concat([by_attack, rho_tilde]).assign(**{FAR: lambda frame: frame["value"]})
with_alpha = measured.merge(alpha[["model", "seed", ALPHA]], on=["model", "seed"])
along = {name: trend(frame.assign(value=frame[ALPHA]), FAR) for name, frame in with_alpha.groupby("attack")}
for name, correlations in along.items():
    said = {"of": name, "aligned": "alpha", "origin": 0.0, "dataset": images.label}
    run.record("ET-F3", "spearman", correlations, **said)
told = ", ".join(f"{np.mean(found):+.2f} ({name})" for name, found in along.items())
draw(
    {name: experiment.where(measured, attack=name) for name in ("gradient", "BIM", "CW", "rho_tilde")},
    FAR,
    "Median distance by three other attacks and by linearisation, against that by DDN.",
    f"Grey: equality. Spearman's correlation of median α with the median distance over the nets of a seed, mean: {told}. "
    f"The paper's attacks: {on_few['count']} images, {len(attacked_seeds)} seed(s).",
    diagonal=True,
)


# %%
def saturation(frame: pd.DataFrame) -> list[float]:
    """By seed, the slope of α over the less robust half of the nets, minus that over the other half."""
    found = []
    for _, of in frame[frame["model"].isin(steady)].groupby("seed"):
        places = of[np.isfinite(of[RHO])].sort_values(RHO)[[RHO, "value"]].to_numpy()
        halves = np.array_split(places, 2)
        slopes = [np.polyfit(*half.T, 1)[0] if len(half) > 1 else np.nan for half in halves]
        found.append(float(slopes[0] - slopes[1]))
    return found


run.record("ET-F3", "saturation", saturation(alpha), dataset=images.label)
by_lambda = pd.concat(
    [clean, near.assign(quantity="ρ (DDN)"), experiment.where(values, **BLACK)]
    + [experiment.where(values, quantity=name) for name in ("rho_tilde", "common share")]
)
by_lambda = by_lambda[by_lambda["model"].isin(lambdas)].rename(columns={"model": "λ", "quantity": "of"})
caption = f"<b>The nets in numbers</b>, medians over test images (accuracy in per cent), mean ± sd over {len(seeds)} seed(s), {images.label}."
show.measured(by_lambda, rows="λ", columns="of", caption=caption, best=False, digits=2)

# %% [markdown]
# (et-dagger)=
# ### α†, which the theorems bound
#
# $\tilde\rho \le \alpha^\dagger + |\beta^\dagger| / \lVert g^\dagger\rVert$ bounds robustness by $\alpha^\dagger$, and with one term more by $\alpha$. Section 4.1 says that what holds of $\alpha$ also holds “for the
# binarized alignment”. The {ref}`figure at the top <et-top>` has both. Here they are again from three origins.
#
# (et-origin)=
# ### The origin


# %%
def from_origin(quantity: str, origin: float) -> pd.DataFrame:
    return of_cohort(quantity, "median alignment", origin=origin, common=0.0)


GREEK = {"alpha": "α", "alpha_plus": "α†"}
by_origin = {
    f"{GREEK[name]}, {colour} = 0": from_origin(name, origin)
    for origin, colour in COLOUR.items()
    for name in GREEK
}
trends = {
    (name, origin): trend(from_origin(name, origin))
    for name in ("alpha", "centred alpha", "alpha_plus")
    for origin in origins
}
for (name, origin), correlations in trends.items():
    run.record("ET-origin", "spearman", correlations, of=name, origin=origin, dataset=images.label)
    if origin == 0 and name != "alpha":
        said = {"of": "DDN", "aligned": name, "origin": origin, "dataset": images.label}
        run.record("ET-F3", "spearman", correlations, **said)


def signs(name: str) -> str:
    found = {colour: experiment.direction(trends[name, origin]) for origin, colour in COLOUR.items()}
    return "; ".join(f"from {colour} it {words}" for colour, words in found.items())


draw(
    by_origin,
    "median alignment",
    "Median α and α† against median distance, measured from a black, a grey and a white image.",
    f"The same nets, decisions, distances and gradients. α: {signs('alpha')}. α†: {signs('alpha_plus')}.",
)

# %% [markdown]
# Slide the origin from black to white, and the weight of a common function $\tfrac c2\lVert x\rVert^2$ (in units of $M\lVert g\rVert / M\lVert x\rVert$) from below to above zero. The picture and the numbers of α move; no
# decision does, nor $\rho$ or $\tilde\rho$, and α† moves with the origin alone.


# %%
def small(quantity: str, origin: float, c: float) -> plots.Shown:
    frame = of_cohort(quantity, "median alignment", origin=origin, common=c)
    fig = plots.points({GREEK[quantity]: frame}, RHO, "median alignment", plots.ramp(lambdas), columns=1)
    return plots.show(fig, alt=f"Median {GREEK[quantity]} against median distance.")


def spearman(quantity: str, origin: float, c: float) -> str:
    return f"{np.mean(trend(of_cohort(quantity, 'at', origin=origin, common=c))):+.2f}"


# %%
plus = {o: (small("alpha_plus", o, 0.0), spearman("alpha_plus", o, 0.0)) for o in origins}
chosen = {
    (o, c): (
        {"α": small("alpha", o, c), "α†": plus[o][0]},
        {"Spearman(ρ, α)": spearman("alpha", o, c), "Spearman(ρ, α†)": plus[o][1]},
    )
    for o in origins
    for c in commons
}
explorer.frames(
    {"origin (0 black, 1 white)": origins, "common function, c": commons},
    chosen,
    start=(origins[0], 0.0),
    caption=f"<b>One set of nets, {len(chosen)} conventions.</b> Dots as above, dark to light with λ. Spearman's correlation: mean over {len(seeds)} seed(s).",
)

# %% [markdown]
# (et-gauge)=
# ### The gauge
#
# How much of $g$ do all logits share, {eq}`et-share`? Nothing in training fixes it: cross-entropy does not see a function common to all logits, and a penalty on a raw logit's gradient may use it to look small.

# %%
SHARE = experiment.where(values, quantity="common share")
RAW, OWN = (experiment.where(values, quantity=name, **BLACK) for name in ("alpha", "centred alpha"))
run.record_frame("ET-gauge", SHARE, dataset=images.label)
for name, frame in (("alpha", RAW), ("centred alpha", OWN)):
    run.record_frame("ET-gauge", frame.assign(quantity=name), dataset=images.label)
middle = SHARE.groupby("model")["value"].mean()
hidden_part = [name for name in middle.index if middle[name] > 0.05]


def called(name: float | str) -> str:
    return name if isinstance(name, str) else f"double backprop, {name:g}"


def colour(name: str) -> str:
    of = {"double": "double backprop", "outlook": "interpretation", "angle": "noise modulation"}
    return plots.COLOURS[of.get(name.split()[0].rstrip(","), "weight penalty")]


# %%
panels = {"share common to all logits": SHARE, "α, raw logit": RAW, "α, centred logit": OWN}
order = [called(name) for name in (*lambdas, *KINDS)]
plots.show(
    plots.dots({of: f.assign(model=f["model"].map(called)) for of, f in panels.items()}, order, colour),
    alt="Share of the gradient that all logits have in common, and alignment of raw and of centred logits, for every kind of net.",
    finding=f"Medians over images, black origin; mean, 95 % t-interval, {len(seeds)} seed(s). Above 5 % common: {', '.join(map(called, hidden_part)) or 'no kind of net'}.",
)

# %% [markdown]
# (et-f4)=
# ### ET-F4 and ET-F5: image by image
#
# A median over images can rise while nothing links two quantities in a single image. On MNIST the paper finds $\tilde\rho$ and $\alpha$ highly correlated, on ImageNet not at all (figure 4).
#
# (et-f5)=
# Its figure 5 finds $\tilde\rho$ close to the distance by Carlini and Wagner's attack, image by image.


# %%
def each(frame: pd.DataFrame) -> dict:
    return frame.set_index(["model", "seed"])["each"].to_dict()


single = {"ρ̃": each(experiment.where(values, quantity="rho_tilde")), "α": each(RAW), "ρ": each(near)}
single["ρ by CW"] = each(experiment.where(by_attack, attack="CW"))


def pairs(one: str, other: str) -> pd.DataFrame:
    shared = [net for net in cohort if net in single[other]]
    found = [experiment.pearson(single[one][net], single[other][net]) for net in shared]
    frame = pd.DataFrame(shared, columns=["model", "seed"]).assign(value=found)
    return beside_distance(frame).assign(**{"Pearson over images": found})


PAIRS = {"ρ̃ and α": ("ρ̃", "α"), "ρ̃ and ρ by CW": ("ρ̃", "ρ by CW"), "ρ̃ and ρ (DDN)": ("ρ̃", "ρ")}
NAMED = {"ρ̃ and α": "rho_tilde alpha", "ρ̃ and ρ by CW": "rho_tilde CW", "ρ̃ and ρ (DDN)": "rho_tilde DDN"}
pearson = {title: pairs(*of) for title, of in PAIRS.items()}
for title, frame in pearson.items():
    about = "ET-F4" if title == "ρ̃ and α" else "ET-F5"
    record(about, frame.assign(quantity=f"pearson {NAMED[title]}"))


def one_net(other: str, weight: float) -> pd.DataFrame:
    pair = zip(single["ρ̃"][weight, seeds[0]], single[other][weight, seeds[0]], strict=False)
    return pd.DataFrame(pair, columns=["ρ̃", "value"]).assign(model=weight)


# %%
nets_shown = {"least robust": LEAST, "most robust": MOST}
clouds = {f"{other}, {place}": one_net(other, w) for other in ("α", "ρ") for place, w in nets_shown.items()}
look = {"filled": lambda row: True, "diagonal": True}
fig = plots.points(clouds, "ρ̃", "value", plots.ramp(lambdas), **look)
alt = "For the least and the most robust net: alignment, and distance by DDN, against ρ̃, a dot an image."
within = {
    title: f"{frame['value'].min():.2f} to {frame['value'].max():.2f}"
    for title, frame in ((t, f[f["model"].isin(steady)]) for t, f in pearson.items())
}
display(plots.show(fig, alt=alt, finding=f"A dot is a test image; seed {seeds[0]}. Grey: equality."))
draw(
    pearson,
    "Pearson over images",
    "Pearson's correlation over images in every net against its median distance.",
    "Over the nets: " + ", ".join(f"{title} {reach}" for title, reach in within.items()) + ".",
)

# %% [markdown]
# (et-f6)=
# ### ET-F6 to ET-F9: what the bounds are made of
#
# How much of each right-hand side is alignment? F6: α† in $\alpha^\dagger + |\beta^\dagger| / \lVert g^\dagger\rVert$; F7: α in the bound with one term more; F8: α(ξ) in Theorem 3, corrected. The paper does not say whether it
# plots a ratio of medians (solid) or a median of ratios (hollow) (ET-E4).
#
# (et-f9)=
# F9: $M|\langle x, g^\dagger\rangle|$ beside $M|\Psi^\dagger|$, which the paper finds equal on MNIST up to a median $\tilde\rho$ of about 2.4, “at
# around the same point” at which the alignment saturates, and then below one half. (Its sentence with “40 % to almost 100 %” says MNIST and describes ImageNet, ET-E2.)

# %%
BOUNDS = {
    "ET-F6": ("F6: α† in bound (18)", ["alpha_plus", "shift"]),
    "ET-F7": ("F7: α in bound (19)", ["alpha", "turn", "shift"]),
    "ET-F8": ("F8: α(ξ) in bound (20)", ["alpha_xi", "turn_xi"]),
    "ET-F8, printed": ("(20) as printed", ["alpha_xi", "turn_xi_printed"]),
    "ET-F9": ("F9: |⟨x, g†⟩| beside |Ψ†|", ["linear_plus"]),
}
found = {
    about: experiment.shares(values, terms, "psi_plus" if about == "ET-F9" else "")
    for about, (_, terms) in BOUNDS.items()
}
found = {about: frame[frame["model"].isin(lambdas)] for about, frame in found.items()}
for about, frame in found.items():
    record(about, frame.assign(quantity="linear share" if about == "ET-F9" else "share"), "way")
f6 = beside_distance(experiment.where(found["ET-F6"], way="ratio of medians"))
run.record("ET-F6", "spearman", trend(f6), way="ratio of medians", dataset=images.label)


def ends(frame: pd.DataFrame, weights: tuple = (LEAST, MOST)) -> str:
    solid = experiment.where(frame, way="ratio of medians").groupby("model")["value"].mean()
    return " to ".join(f"{solid[w]:.2f}" for w in weights)


# %%
drawn = {
    title: beside_distance(found[about]).assign(share=found[about]["value"])
    for about, (title, _) in BOUNDS.items()
    if about != "ET-F8, printed"
}
draw(
    drawn,
    "share",
    "Share of the alignment in the right-hand sides of three inequalities, and of the linear part in the score.",
    "From the least to the most robust net (ratio of medians): "
    + ", ".join(f"{about} {ends(frame)}" for about, frame in found.items())
    + ". The paper's MNIST: F6 and F9 from near 1 down, F7 and F8 about constant.",
    filled=lambda row: row["way"] == "ratio of medians",
)

# %% [markdown]
# (et-f10)=
# ### ET-F10: the three gradients


# %%
def frames_of(weight: float) -> dict:
    terms, made = at(weight), {}
    for i, label in enumerate(images.classes[int(y)] for y in images.y_test[picked]):
        maps = {"g": terms.g[i], "g†": terms.g_plus[i], "γ": terms.gamma[i]}
        pictures = {name: plots.png(of, limit=plots.scale(of)) for name, of in maps.items()}
        lengths = {"ρ̃": terms.rho_tilde, "α": terms.alpha, "α†": terms.alpha_plus}
        lengths |= {"|β†|/‖g†‖": terms.shift, "α(ξ)": terms.alpha_xi}
        numbers = {name: f"{of[i].item():.2f}" for name, of in lengths.items()}
        says = {"says": images.classes[int(terms.predicted[i])]}
        made[weight, label] = {"image": plots.png(x[i])} | pictures, says | numbers
    return made


labels = [images.classes[int(y)] for y in images.y_test[picked]]
explorer.frames(
    {"λ": lambdas, "class": labels},
    {place: frame for weight in lambdas for place, frame in frames_of(weight).items()},
    caption="<b>The gradients of Theorems 2 and 3.</b> Slide λ. g: of the predicted class's logit; g†: of its lead over the nearest other class; γ: as g, at the "
    f"shifted point ξ. Each map ± its largest value; seed {seeds[0]}, the first image of each of five classes.",
)

# %% [markdown]
# ### Can the distances be believed?
#
# The evaluation checks look at the least and the most robust net of the first seed with projected gradient descent at a radius of half the largest median distance. The undefended net is the baseline of the other.

# %%
radius = round(of_net[MOST] / 2, 2)
ball = {"norm": "l2", "eps": radius, "steps": 20}
few = {"limit": checked_images, "grid_points": checked_images // 2}


def checked(weight: float):
    net, baseline = (store.get(cohort[w, seeds[0]], device=device) for w in (weight, lambdas[0]))
    about = {"recipe": cohort[weight, seeds[0]], "baseline": None if weight == lambdas[0] else baseline}
    report = checks.fast(net, images.x_test, images.y_test, **ball, **few, **about)
    untrained = ["R9", "R11", "R12", "R22"] if run.profile == "smoke" else []
    return run.check(f"λ = {weight:g}", report, expected=untrained)


caption = f"<b>Evaluation checks</b>, l2 {radius:g}, {checked_images} test images. Open a cell for what each check says."
badges.table([checked(weight) for weight in dict.fromkeys((LEAST, MOST))], caption=caption)

# %% [markdown]
# (et-outlook)=
# ## The outlook's experiment: does alignment make a net robust?
#
# (et-c13)=
# The paper ends with a proposal, to train for alignment with a penalty that the Cauchy–Schwarz inequality keeps above zero (ET-C13):
#
# $$
# \begin{aligned}
# &\lambda\Big(\lVert x\rVert^2 \lVert\nabla\Psi^i(x)\rVert^2 - \langle x, \nabla\Psi^i(x)\rangle^2\Big) \\
# &\quad = \lambda\, \lVert x\rVert^2 \lVert\nabla\Psi^i(x)\rVert^2 \sin^2\angle\big(x, \nabla\Psi^i(x)\big) \;\ge\; 0 .
# \end{aligned}
# $$ (et-penalty)
#
# It warns in the same breath that the first summand is a Lipschitz penalty of its own, so “a careful experimental evaluation” is needed. Here it is, at small scale, on **centred** logits: on raw ones a net can meet the penalty with a
# function common to all logits, as {ref}`above <et-gauge>`.
#
# | penalty | term, averaged over the batch | what it can show |
# |---|---|---|
# | outlook | $\lVert x\rVert^2\lVert g\rVert^2 - \langle x, g\rangle^2$ | the proposal |
# | norm | $\lVert x\rVert^2\lVert g\rVert^2$ | its Lipschitz part alone: no reward for alignment |
# | angle | $1 - \cos^2\angle(x, g)$ | alignment alone: shrinking $g$ gains nothing |
# | none | 0 | the undefended net |
#
# If alignment *made* nets robust, outlook would beat norm **at the same accuracy**, and angle would beat none. Each outlook net is compared with the norm net whose held-out accuracy is nearest; test images choose nothing.

# %%
NONE = lambdas[0]


def partner(name: str) -> str:
    others = [kind for kind, (term, *_) in KINDS.items() if (term, KINDS[kind][2]) == ("norm", True)]
    return min(others, key=lambda other: abs(accuracy[other] - accuracy[name]))


CONTRASTS = {
    (f"{name} − {partner(name)}", "alignment added to the norm"): (name, partner(name))
    for name in KINDS
    if KINDS[name][0] == "outlook"
}
CONTRASTS |= {
    (f"{name} − none", "alignment alone" if KINDS[name][0] == "angle" else "norm alone"): (name, NONE)
    for name in KINDS
    if KINDS[name][0] != "outlook"
}
QUANTITIES = {
    "ρ (DDN)": near,
    "α, raw": RAW,
    "α, centred": OWN,
    "α†": experiment.where(values, quantity="alpha_plus", **BLACK),
}

# %%
changes = pd.concat(
    frame.assign(contrast=name, of=of, kind=kind, weight=KINDS[more][1])
    for (name, kind), (more, less) in CONTRASTS.items()
    if more in steady and less in steady
    for of, measured in QUANTITIES.items()
    for frame in [experiment.relative(measured, more, less)]
)
for (name, of, kind, weight), frame in changes.groupby(["contrast", "of", "kind", "weight"], sort=False):
    run.record(
        "ET-outlook", "relative change", list(frame["value"]),
        of="nearest" if of == "ρ (DDN)" else of, contrast=kind, nets=name, weight=weight, dataset=images.label,
    )  # fmt: skip
for of, measured in (QUANTITIES | {"clean_accuracy": clean, "held-out accuracy": held}).items():
    run.record_frame("ET-outlook", measured.assign(quantity=of), dataset=images.label)
gaps = {name: accuracy[more] - accuracy[less] for (name, _), (more, less) in CONTRASTS.items()}
widest = max(abs(gaps[name]) for name, kind in CONTRASTS if kind == "alignment added to the norm")
show.measured(
    changes,
    rows="contrast",
    columns="of",
    digits=0,
    best=False,
    caption=f"<b>What each part of the penalty changes</b>, per cent of the net it is compared with, mean ± sd over {len(seeds)} seed(s), {images.label}. "
    f"Outlook and norm are matched in held-out accuracy, to {widest:.1f} points.",
)

# %%
both = pd.concat([near, clean.assign(quantity="accuracy")]).pivot_table(
    index=["model", "seed"], columns="quantity", values="value", sort=False
)
both = both.reset_index().assign(
    **{RHO: lambda f: f["distance"], "clean accuracy, %": lambda f: f["accuracy"]}
)
both["kind"] = ["double backprop" if isinstance(m, float) else m.split(",")[0] for m in both["model"]]
SHADES = {kind: colour(kind) for kind in both["kind"].unique()} | {"norm of raw logits": "#999933"}
SHADES["none"] = plots.COLOURS["standard"]
both.loc[both["model"] == NONE, "kind"] = "none"
alt = "Median distance by attack against clean accuracy, a dot a net, for every kind of penalty."
fig = plots.points(
    {"": both}, "clean accuracy, %", RHO, SHADES,
    group="kind", columns=1, size=(6.2, 3.6), names="penalty", filled=lambda row: row["model"] in steady,
)  # fmt: skip
plots.show(
    fig,
    alt=alt,
    finding=f"Every net of this chapter, {len(seeds)} seed(s). Hollow: degenerated.",
    width="34rem",
)

# %% [markdown]
# (et-f2)=
# ## ET-F1, F2 and F4 to F10 on ImageNet
#
# The paper's larger half fine-tunes a pretrained ResNet-50 {cite:p}`he2016` with seven weights of the penalty, days of GPU time; here a net without penalty stands beside them. The images are read from their folder batch by batch, so a set of any size
# needs no more memory than a small one. Alignments are measured from the mean colour, the paper's origin (its pixels have the mean subtracted). It runs in profile `paper`, or with
# `companion run alignment_bounds -p imagenet=true -p imagenet_folder=PATH` on any folder with `train/CLASS/*.jpg` and `val/CLASS/*.jpg`.

# %%
TUNING = {"lr": 1e-4, "momentum": 0.99, "epochs": imagenet_epochs, "batch_size": imagenet_batch_size}
LOADING = {"workers": workers, "device": device}
ATTACKS = PAPERS | {"DDN": {"steps": ddn_steps}}


def tuned(weight: float, seed: int, train_images):
    of = {"weights": None if imagenet_weights == "none" else imagenet_weights, "seed": seed}
    return streamed.fine_tuned(train_images, lambda_g=weight, **of, **TUNING, **LOADING, report=run.status)


def measured_on(test_images, train_images) -> pd.DataFrame:
    rows = [
        {"model": weight, "seed": seed, **row}
        for seed in imagenet_seeds
        for weight in imagenet_lambdas
        for row in streamed.alignment_values(
            tuned(weight, seed, train_images), test_images, attacks=ATTACKS, **LOADING
        )
    ]
    return pd.DataFrame(rows)


# %%
if imagenet:
    folder = {"size": imagenet_size, "seed": 0}
    train_images = streamed.folder(imagenet_folder, "train", count=imagenet_n_train or None, **folder)
    test_images = streamed.folder(imagenet_folder, "val", count=imagenet_n_test, **folder)
    large = measured_on(test_images, train_images)
    streamed.record(run.record_frame, large, BOUNDS)
    far = experiment.where(large, quantity="distance", attack="DDN").set_index(["model", "seed"])["value"]
    by_far = far.groupby("model").mean().sort_values().index
else:
    print("Not run: imagenet=false in this profile.")

# %%
if imagenet:
    of_alpha = experiment.where(large, quantity="alpha").assign(**{ALPHA: lambda f: f["value"]})
    drawn = {"ET-F2": of_alpha.join(far.rename(RHO), on=["model", "seed"])}
    fig = plots.points(drawn, RHO, ALPHA, plots.ramp(imagenet_lambdas), columns=1, names="λ")
    told = f"Median α from the mean colour, {len(test_images)} validation images, ResNet-50, {len(imagenet_seeds)} seed(s)."
    display(plots.show(fig, alt="Median alignment against median distance, ResNet-50.", finding=told))
    photos, ends_of = streamed.first_of_each(test_images, 3, device), [by_far[0], by_far[-1]]
    rows = {
        f"{name}, λ = {w:g}": list(
            getattr(
                metrics.alignment_terms(
                    tuned(w, imagenet_seeds[0], train_images),
                    photos,
                    origin=streamed.ORIGIN.to(device),
                    chunk=1,
                ),
                name,
            )
        )
        for w in ends_of
        for name in ("g", "g_plus", "gamma")
    }
    fig = plots.gallery([("image", list(photos)), *rows.items()], pixels="first row", cell=1.6)
    display(
        plots.show(
            fig,
            alt="Images, and three gradients in the least and the most robust ResNet-50.",
            finding="<b>ET-F1, ET-F10</b>: each map ± its largest value, summed over colours.",
        )
    )

# %% [markdown]
# ### Paper, this run, recorded run
#
# The paper prints no table and no accuracy; its numbers are read from its text and figures, for MNIST.

# %%
READ = {
    ("ET-F6", "share", "least robust"): "“extremely dominated” by α†, near 1",
    ("ET-F6", "share", "most robust"): "“strongly decreases”",
    ("ET-F7", "share", "least robust"): "about as at the other end",
    ("ET-F7", "share", "most robust"): "about constant",
    ("ET-F8", "share", "least robust"): "about as at the other end",
    ("ET-F8", "share", "most robust"): "about constant",
    ("ET-F9", "linear share", "least robust"): "close to 1",
    ("ET-F9", "linear share", "most robust"): "below 0.5",
    ("ET-F4", "pearson rho_tilde alpha", "most robust"): "“highly-correlated”, one net",
    ("ET-F5", "pearson rho_tilde CW", "most robust"): "“high”, one net",
}


def read_off(rows: list, experiment: str, quantity: str, place: str) -> str:
    fit = [r for r in rows if (r["experiment"], r["quantity"]) == (experiment, quantity)]
    fit = [
        r for r in fit if r.get("place") == place and r.get("way", "ratio of medians") == "ratio of medians"
    ]
    return f"{fit[0]['value']:.2f}" if fit and fit[0]["value"] is not None else "–"


when = run.recorded_run().get("started", "")[:10]
tables.table(
    ["experiment, net", "paper, MNIST", f"this run, {images.label}", f"recorded run, {when}"],
    [
        [
            f"{about}, {place}",
            said,
            read_off(run.rows, about, of, place),
            read_off(run.recorded(), about, of, place),
        ]
        for (about, of, place), said in READ.items()
    ],
    caption="<b>What the paper says, and what the runs say.</b> Least and most robust by median distance, among nets that have not degenerated.",
    kind="cmp-fold",
)

# %% [markdown]
# ## Verdicts on the paper's claims
#
# The rules are data, `book/claims/et.yaml`, and were written down before this run; `companion claims` decides them again on any run's rows. The net is the unit: a statement about trained nets is decided over seeds. Degenerated nets decide
# nothing. The paper says “high” and “near” without numbers: a correlation counts as high from 0.7, a share as near 1 from 0.9. Claims marked *(ours)* are not the paper's.

# %%
terms64 = metrics.penalty_bracket(
    store.get(cohort[MOST, seeds[0]], device="cpu"), images.x_test[:n_attacked].cpu()
)
kink = experiment.measure(metrics.kink_effect, first, images, count=len(images.x_test), **how)
shared = metrics.shared_origin(store.get(cohort[MOST, seeds[0]], device="cpu"), images.x_test[:20].cpu())
for row in (*terms64, *shared):
    run.record("ET-ALG", row["quantity"], row["value"], claim=row["claim"], of=row["compares"])
record("ET-kink", kink)
display(*verdicts.table(run.notebook, run.rows, f"{images.label}, {len(seeds)} seed(s)."))


# %% tags=["hide-input"]
def percent(kind: str, of: str) -> str:
    found = changes[(changes["kind"] == kind) & (changes["of"] == of)].groupby("contrast", sort=False)[
        "value"
    ]
    spread = [plots.interval(list(v)) for _, v in found]
    return " and ".join(f"{mean:+.0f} ± {half:.0f} %" for mean, half in spread) or "no pair left"


raw_kind = next(name for name in KINDS if not KINDS[name][2])
raw_alpha, own_alpha = (of.groupby("model")["value"].mean()[raw_kind] for of in (RAW, OWN))
worst = max(middle[w] for w in lambdas)
show.found(
    run,
    [
        f"<b>The answer depends on the convention.</b> Over nets of growing robustness α {experiment.direction(trend(alpha))} with the distance if black counts as zero, as in the paper; the same gradients measured from white: it {experiment.direction(trends['alpha', 1.0])} ({show.link('et-origin')}).",
        f"<b>α†, which the theorems bound</b>, {experiment.direction(trend(dagger))} with the distance from black and {experiment.direction(trends['alpha_plus', 1.0])} from white; the paper says that it behaves as α ({show.link('et-top')}).",
        f"<b>The gauge.</b> Adding one function to all logits changes no decision, and moves α. In nets with double backpropagation at most {100 * worst:.0f} % of ‖g‖² is common to all logits; with the norm of raw logits penalised it is {100 * middle[raw_kind]:.0f} %, and median α reads {raw_alpha:.2f} raw, {own_alpha:.2f} centred ({show.link('et-gauge')}).",
        f"<b>Rewarding alignment</b> beside the norm, at equal held-out accuracy, changes the distance by {percent('alignment added to the norm', 'ρ (DDN)')}; rewarding it alone by {percent('alignment alone', 'ρ (DDN)')}; the norm alone by {percent('norm alone', 'ρ (DDN)')} ({show.link('et-outlook', 'table')}).",
        f"Theorem 3 is false as printed: {printed:.0f} % of inputs to random nets break it, none with γ in the error term. The share of α† in the first bound goes {ends(found['ET-F6'])} from the least to the most robust net, of |⟨x, g†⟩| in |Ψ†| {ends(found['ET-F9'])} ({show.link('et-f6')}).",
        f"Not run here: {'nothing' if imagenet else 'ImageNet'}; the paper trains 200 epochs on 50,000 images. {images.label}, {counts}, {len(lambdas)} weights; ± are 95 % t-intervals over seeds.",
    ],
)

# %% [markdown]
# ## What differs from the paper, and what the paper left out
#
# Setting by setting. Where one is a parameter of this chapter, its values in the profiles stand below it. The same for all chapters: {doc}`../book/fidelity`.

# %%
fidelity.table("alignment_bounds")

# %% [markdown]
# **Errata used on this page.** ET-E1 (eq. 16 and 20: {ref}`above <et-e1>`), ET-E2 (“On MNIST” for ImageNet, {ref}`ET-F9 <et-f9>`), ET-E3 (eq. 20's explanation writes $b^\dagger$ for $\beta^\dagger$), ET-E4, ET-E5, ET-E6 (table above).
# Two are remarks on what the paper has right: ET-E7 ($\alpha$ is a Pearson correlation only under $\lVert x\rVert = 1$ and zero means, and depends on the pixels' representation), ET-E8 (the condition of Lemma 1). ET-E9 concerns another paper's quotation of this one.
#
# ## Exercises
#
# ```{exercise} Shift the pixels
# :label: et-ex-shift
# Replace every image by its negative, $x \mapsto 1 - x$, and the first layer by one that undoes it. No decision changes, nor does $\rho$. What happens to $\alpha$? For one image, is there an origin with
# $\alpha^\dagger(x) = \tilde\rho(x)$? For how many images at once?
# ```
#
# ```{solution} et-ex-shift
# :class: dropdown
# The gradient only changes its sign, but $\langle 1 - x, -g\rangle = \langle x, g\rangle - \langle 1, g\rangle$: $\alpha$ changes by the sum of the gradient's entries over its norm. From an origin $o$, $\alpha^\dagger$ is
# $|\langle x - o, \bar g^\dagger\rangle|$, which is $\tilde\rho$ if $\langle o, g^\dagger\rangle = -\beta^\dagger$: *one linear equation* for $o$. For one image $o = -\beta^\dagger g^\dagger / \lVert g^\dagger\rVert^2$ solves it, Theorem 3's $\xi$ read backwards. For
# several images there are as many equations and as many unknowns as pixels, so one origin serves all of them as long as their $g^\dagger$ are linearly independent: `metrics.shared_origin` finds it for 50 images at once to $10^{-15}$. It need not look like
# anything, and with more images than pixels there is none in general.
# ```
#
# ```{exercise} How false is the printed bound?
# :label: et-ex-e1
# In the explorer's counter-example the printed right-hand side is 0. Show that for two classes with logits $(\Psi, 0)$ it is always $\alpha(\xi)$ where $F(\xi) = F(x)$, and give a family of nets in which $\tilde\rho(x)$ grows without bound while it stays 0.
# ```
#
# ```{solution} et-ex-e1
# :class: dropdown
# With logits $(\Psi, 0)$ and class 1 predicted, $g^\dagger = g$, so the printed error term is 0 and $|\langle\xi, \bar\gamma\rangle|$ is left. For $c > \tfrac12$ let
# $\Psi(p) = \operatorname{relu}(p_1 + c) + \tfrac{2c}3 \operatorname{relu}(p_1 - (3 + 2c)\,p_2 + d) - \tfrac12$ with $d$ between $\tfrac32$ and $1 + c$. At $x = (\tfrac12, \tfrac12)$ the second unit is off, so $g = (1, 0)$, $\beta^\dagger = c - \tfrac12$ and
# $\tilde\rho(x) = c$. At $\xi = (c, \tfrac12)$ it is on, and $\gamma = (1 + \tfrac{2c}3, -\tfrac{2c}3 (3 + 2c))$ is orthogonal to $\xi$: $c + \tfrac{2c^2}3 - \tfrac{c}3(3 + 2c) = 0$.
# ```
#
# ```{exercise} A lambda that depends on the batch
# :label: et-ex-batch
# The released code's penalty is $\lambda \cdot \frac1B\sum_k \lVert \nabla_{x_k} \frac1B\sum_l \mathcal L(x_l, y_l)\rVert^2$. Show that it is $1/B^2$ of {eq}`et-dbp`. What happens to the strength of the regularisation when somebody trains the
# same code on two GPUs with half the batch each?
# ```
#
# ```{solution} et-ex-batch
# :class: dropdown
# Only the $k$-th summand of the mean depends on $x_k$, so each gradient carries a factor $1/B$, squared. With half the batch on each GPU the factor is four times as large: the same λ regularises four times as strongly. In this package:
# `losses.double_backprop(..., scaling="released")`.
# ```
#
# ```{exercise} Robust and not aligned?
# :label: et-ex-robust
# Penalise $\lVert x\rVert^2 \lVert\nabla\Psi^{i^*}\rVert^2$ for the *raw* logit, as the outlook writes it, and the net becomes robust while its $\alpha$ falls ({ref}`the gauge <et-gauge>`). Has this net lost its alignment? Give a net with the same decisions
# and probabilities everywhere whose $\alpha$ at a given image is 0, and one whose $\alpha$ is $\lVert x\rVert$ up to any $\epsilon$.
# ```
#
# ```{solution} et-ex-robust
# :class: dropdown
# No. The penalty asks for a small gradient of one raw logit, and a function $h$ common to all logits with $\nabla h \approx -g$ supplies it for free: the loss, the decisions and $g^\dagger$ do not see $h$. On centred logits, which are the same for every $h$,
# the net is as aligned as others of its robustness. Adding $h = \tfrac c2\lVert x\rVert^2$ gives $\alpha = |\langle x, g\rangle + c\lVert x\rVert^2| / \lVert g + c\,x\rVert$, which is 0 at $c = -\langle x, g\rangle / \lVert x\rVert^2$ and tends to
# $\lVert x\rVert$ as $c \to \infty$. So the headline “robust nets are less aligned” can be produced, or removed, without touching the classifier.
# ```
#
# ## Play with it
#
# Pick an image, a net, an origin and a common function: the three gradients, and the terms of the bounds as bars. The bars of Theorem 2's second bound and of Theorem 3 change, ρ̃ does not, and no bound breaks.


# %%
def play(image: int = 0, net: str = called(MOST), origin: float = 0.0, common: float = 0.0):
    place = {called(name): recipe for (name, seed), recipe in nets.items() if seed == seeds[0]}
    chosen = store.get(place[net], device=device)
    fig = playground.alignment_panel(chosen, images, image, origin=origin, common=common)
    return plots.show(fig, alt=f"{net}: image {image}, its three gradients, and the terms of the bounds.")


choices = {"net": order, "origin": (0.0, 1.0, 0.05), "common": (-3.0, 3.0, 0.1)}
playground.controls(play, live=run.profile is None, image=(0, len(images.y_test) - 1), **choices)

# %% [markdown]
# ## Rerun it
#
# ```sh
# companion run alignment_bounds -p lambdas=0,0.01,0.1,1,3           # other weights: only their nets are trained
# companion run alignment_bounds -p origins=0,0.5,1 -p seeds=0,1,2,3,4
# companion run alignment_bounds --profile recorded                  # MNIST, 16 weights, hours on a CPU; gpu: minutes on a GPU
# papermill notebooks/alignment_bounds.ipynb out.ipynb -f notebooks/profiles/quick/alignment_bounds.yaml -p n_attacked 100
# ```

# %%
show.costs(run)

# %%
run.provenance_strip()
