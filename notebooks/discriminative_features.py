# %% [markdown]
# # Discriminative features: a toy and its penalties
#
# *F. Bötte and F. Pfeiffer, “The Role of Input Gradients as Indicators for Discriminative Features”* {cite:p}`boette2022`.
#
# In this toy the label can be read at one coordinate of each point, and at no other. Input gradients of a trained net do not say at which: they also mark
# coordinates that hold the signal in *other* points. That is the finding of Shah, Jain and Netrapalli {cite:p}`shah2021`, whose paper is the {doc}`chapter before <feature_leakage>`; adversarial
# training repairs it. Bötte and Pfeiffer ask **whether something cheaper repairs it, a penalty on the weights or on the gradients**, and answer: a squared penalty on the weights does it best.

# %% tags=["parameters", "hide-input"]
# Every name here can be changed: companion run discriminative_features -p NAME=VALUE
# fmt: off
blocks: int = 10  # in [3, inf): coordinates d of the toy; the figures show at least 8, the code of Shah et al. has 10
points: int = 10000  # in [20, inf): training points drawn
batch_size: int = 250  # in [1, inf): points in a training step, divides `points`; the code's 250
width: int = 500  # in [1, inf): hidden units
seeds: list[int] = [0, 1, 2, 3]  # in [0, inf): a net each, standard and with the l2 penalty on the weights
penalty_seeds: list[int] = [0, 1]  # in [0, inf): a net each with every other penalty, and after adversarial training
epochs: int = 200  # in [1, inf): passes over the points; 500 in the code of Shah et al., 4,000 in the paper
lr: float = 0.1  # in (0, inf): first learning rate, x 0.75 every 50 epochs, never below a hundredth of it
lambdas_l1: list[float] = [0.0001, 0.001, 0.003]  # in (0, inf): weights of the l1 penalty on the weights
lambdas_l2: list[float] = [0.0003, 0.001, 0.003]  # in (0, inf): weights of the squared l2 penalty on the weights
lambdas_linf: list[float] = [0.3, 3]  # in (0, inf): weights of the linf penalty on the weights
lambdas_gradient_l1: list[float] = [0.3, 0.5, 1]  # in (0, inf): weights of the l1 penalty on the loss gradient, points in [-1, 1]
lambdas_gradient_l2: list[float] = [1, 2, 4]  # in (0, inf): weights of the squared l2 penalty on it
lambdas_gradient_linf: list[float] = [1, 1.5]  # in (0, inf): weights of the linf penalty on it
sums: list[float] = [600, 2000, 6000]  # in (1, inf): sums of the steps of nets with the l2 penalty trained on, all points in one batch
variants: bool = False  # also penalise weights without biases, plain l2 instead of squared, and the logit's gradient
pairs: bool = False  # also train the six nets with two penalties
at_eps: float = 0.3  # in (0, 1): linf radius of adversarial training, points in [-1, 1]; the code's 0.45 does not train at 500 units
at_steps: int = 8  # in [1, inf): its attack's steps of a quarter of the radius
at_epochs: int = 150  # in [1, inf): its passes over the points
radii_linf: list[float] = [0.05, 0.09, 0.095, 0.1, 0.105, 0.11, 0.115, 0.12, 0.125, 0.13, 0.15, 0.2, 0.3, 0.4, 0.5]  # in (0, 1]: linf radii of the attacks, points in [-1, 1]
radii_l2: list[float] = [0.2, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7]  # in (0, 2]: l2 radii
radii_l1: list[float] = [0.5, 0.75, 0.9, 1.1, 1.5]  # in (0, 4]: l1 radii
attack_steps: int = 12  # in [1, inf): steps of each attack
wide: int = 0  # in [0, inf): hidden units of a second set of nets, 0 for none; the paper's 25,000
wide_seeds: list[int] = [0, 1]  # in [0, inf): a net each
wide_epochs: list[int] = [500, 4000]  # in [1, inf): passes over the points of the standard nets; those with a penalty have the last
wide_at_eps: float = 0.45  # in (0, 1): linf radius of adversarial training at this width, after the first of wide_epochs
wide_lambdas: list[float] = [0.0003]  # in (0, inf): weights of their squared l2 penalty on the weights
device: str = "auto"  # one of auto, cpu, cuda: where to compute
# fmt: on

# %%
from companion.publishing.running import chapter

run = chapter.begin(globals(), notebook="discriminative_features")

# %%
import numpy as np
import pandas as pd
from IPython.display import display

from companion import attacks, data, experiment, losses, metrics, models, playground, plots
from companion.publishing.claims import verdicts
from companion.publishing.explorers import explorer
from companion.publishing.pages import fidelity, show, sources
from companion.training import Recipe, distinct_points, minibatches, part

device = experiment.choose_device(device)
counts = f"{points:,} points of {blocks} coordinates, {width:,} hidden units, batches of {batch_size}, {epochs:,} epochs, {len(seeds)} seed(s)"
show.opening(run, f"the toy: {counts}", "the CPU" if device == "cpu" else device)

# %% [markdown]
# ## The question in one picture
#
# ```{predict} bp-guess-signal
# :rule: {greater: {more: {experiment: BP-N, quantity: ratio, net: standard, width: {first: 1}}, less: 1}}
#
# One coordinate of a point tells its class, the others tell nothing. How large is a standard net's gradient at that coordinate, beside its mean size at the others?
#
# - larger
# - smaller
# - the same, as far as the run can tell
# ```

# %% tags=["remove-input"]
run.later("picture")
run.later("found")

# %% [markdown]
# ## The idea, equation by equation
#
# **The toy.** A label $y = \pm1$ and a coordinate $j$, both drawn uniformly, make the point $x = y\,e_j \in \mathbb R^d$: zero but for one entry, which is the label.
# The net has one hidden layer of ReLU units and two outputs. Let $g(x)$ be the gradient of the true class's lead over the other. Where is $|g_k(x)|$ large? A *signal that stands out*
# may be the largest entry or the smallest, and a picture with a colour scale from 0.8 to 1 shows both as a pattern. So three scores instead of the eye:
#
# $$
# \begin{aligned}
# \text{top1} &= \mathbb P\bigl[\arg\max_k |g_k| = j\bigr], \\
# \text{bottom1} &= \mathbb P\bigl[\arg\min_k |g_k| = j\bigr], \\
# \text{ratio} &= |g_j| \Big/ \tfrac1{d-1}\sum_{k \ne j} |g_k| .
# \end{aligned}
# $$ (bp-scores)
#
# A gradient that knows nothing of $j$ has $1/d$, $1/d$ and 1. Whether an eye sees the pattern also depends on how much the *other* entries of a point differ among themselves:
#
# $$
# \begin{aligned}
# \text{unevenness} &= \mathbb E\Bigl[\operatorname{sd}_{k \ne j} |g_k| \Big/ \tfrac1{d-1}\sum_{k \ne j} |g_k|\Bigr], \\
# \text{contrast} &= (1 - \text{ratio}) / \text{unevenness} .
# \end{aligned}
# $$ (bp-contrast)
#
# A contrast of 3 is a dip of three standard deviations, a negative one a peak.

# %%
sources.of(data.toys.one_hot_blocks, metrics.top1, metrics.bottom1, metrics.ratio)

# %% [markdown]
# **The penalties.** To the cross-entropy $\ell$ the paper adds a norm of all weights $\theta$, of the input gradients, or of both:
#
# $$
# \begin{aligned}
# \mathcal L = {} & \mathbb E\,\ell\bigl(f_\theta(x), y\bigr) + \lambda_w \lVert\theta\rVert_p \\
# & + \lambda_g\, \mathbb E\,\lVert\nabla_x \ell\rVert_q, \quad p, q \in \{1, 2, \infty\} .
# \end{aligned}
# $$ (bp-loss)
#
# It gives no $\lambda$, and does not say whether biases count or which gradient is meant. Section IV calls l2 “proportional to the square of the weights”, so l2 is squared here and the other
# norms are not. What is true at one $\lambda$ need not be at another, so every claim is asked over a grid of them, those on gradients up to weights at which nets no longer learn.

# %%
sources.of(losses.penalised, losses.weight_penalty, losses.input_gradient_penalty)

# %% [markdown]
# **Mini-batches of twenty points.** Of 10,000 drawn points only $2d = 20$ differ, so a batch of 250 is its counts $n_i$ on these, and a step costs as much as 20 points:
#
# $$
# \nabla_\theta \mathcal L \approx \sum_{i=1}^{2d} \frac{n_i}{250}\, \nabla_\theta\, \ell\bigl(f_\theta(x_i), y_i\bigr), \qquad \sum_i n_i = 250 .
# $$ (bp-batch)
#
# The counts change from step to step; with the whole set as one batch they do not. {ref}`BP-B <bp-batches>` asks whether that matters.

# %%
sources.of(minibatches.train, minibatches.counts, experiment.paper_steps)

# %% [markdown]
# **What a penalty on the weights should do.** Shah et al. prove that the net of the largest margin, for weights of given l2 norm, has the *same* $|g_k|$ at every
# coordinate, whichever holds the signal ({prf:ref}`the leakage theorem <df-thm>`). Weight decay pulls towards that net. It has ratio 1, so the theorem predicts the opposite of the paper's finding,
# for nets trained to the end. A step $\eta$ on $\lambda\lVert\theta\rVert_2^2$ shrinks all weights by the factor $1 - 2\lambda\eta$: of the initial ones, $e^{-2\lambda\sum\eta}$ is left. So it is not $\lambda$ alone that counts, but **$\lambda$ times the sum of the steps**.
#
# **What makes a net robust.** Near the points a leaking net is linear with slope $s$ along every coordinate and margin $s$. A linf attack of radius $\varepsilon$ lowers the margin by
# $d\varepsilon s$: the net is right for $\varepsilon < 1/d$ and wrong beyond. A net whose gradient marks the signal alone is right up to $\varepsilon = 1/2$, halfway to the other class. In l1 no net can hold beyond radius 1, halfway from $e_j$ to $-e_k$.
#
# (bp-nets)=
# ## The nets

# %%
NORMS = ("l1", "l2", "linf")
WEIGHTS = {f"weights {n}": {"weight_norm": n, "weight_squared": n == "l2"} for n in NORMS}
GRADIENTS = {f"gradients {n}": {"gradient_norm": n, "gradient_squared": n == "l2"} for n in NORMS}
OTHERS = {
    "weights l2, no biases": {"weight_norm": "l2", "weight_squared": True, "biases": False},
    "weights l2, plain": {"weight_norm": "l2"},
    "logit l1": {"gradient_norm": "l1", "of": "logit"},
}
PENALTIES = WEIGHTS | GRADIENTS | (OTHERS if variants else {})
L2 = "weights l2"

# %%
LAMBDAS = dict(zip(WEIGHTS, (lambdas_l1, lambdas_l2, lambdas_linf), strict=True))
of_gradients = lambdas_gradient_l1, lambdas_gradient_l2, lambdas_gradient_linf
LAMBDAS |= dict(zip(GRADIENTS, of_gradients, strict=True))
LAMBDAS |= {"weights l2, no biases": lambdas_l2, "logit l1": lambdas_gradient_l1}
LAMBDAS["weights l2, plain"] = [10 * w for w in lambdas_l2]  # a norm of order 10, its square of order 100


def grid(name: str) -> list[float]:
    return sorted(LAMBDAS[name])


# %%
def recipe(penalties: dict[str, float], seed: int, *, batch: int = batch_size, **more) -> Recipe:
    how = {"width": width, "epochs": epochs, "inputs": None} | more
    settings = {}
    for name, weight in penalties.items():
        settings |= PENALTIES[name]
        of_weights = "weight_norm" in PENALTIES[name]
        unit = 1 if of_weights else 4 if PENALTIES[name].get("gradient_squared") else 2  # pixels in [0, 1]
        settings["lambda_w" if of_weights else "lambda_g"] = weight / unit
    of_data = part("one_hot_blocks", relevant=blocks, n_train=points, split_seed=seed)
    shape = part("one_hidden", width=how.pop("width"), init="torch")
    sgd = {"optimiser": part("SGD", lr=lr), "schedule": "constant", "batch_size": batch, "seed": seed}
    return Recipe(data=of_data, model=shape, loss=part("penalised", **settings), **how, **sgd)


def trained(nets: dict, epochs: int = epochs, batch: int = batch_size) -> dict:
    steps = experiment.paper_steps(epochs, a_epoch=points // batch_size, lr=lr)
    return experiment.toy_nets(nets, steps, device=device, report=run.status)


# %% [markdown]
# The standard net, the six single penalties over their weights, and a net trained on attacked points as Shah et al. train it.

# %%
def attacked(eps: float):
    ball = {"norm": "linf", "eps": eps / 2, "steps": at_steps, "step_size": eps / 8}
    return part("adversarial", **ball, protocol="br_paper")  # no random start, as in the code


places = {(("standard", 0.0), s): recipe({}, s) for s in seeds}
kinds = [(name, weight) for name in PENALTIES for weight in grid(name)]
of = {L2: seeds}
places |= {(k, s): recipe(dict([k]), s) for k in kinds for s in of.get(k[0], penalty_seeds)}
how = {"epochs": at_epochs, "inputs": attacked(at_eps)}
at_places = {(("adversarial", 0.0), s): recipe({}, s, **how) for s in penalty_seeds}
nets = trained(places) | trained(at_places, at_epochs)
frame = experiment.toy_frame(nets, blocks)
run.record_frame("BP-S", frame, ["net", "lambda"], width=width)


# %%
def mean(net: str, quantity: str, weight: float | None = None, of: pd.DataFrame = frame) -> float:
    rows = experiment.where(of, net=net, quantity=quantity)
    return rows[rows["lambda"] == weight if weight is not None else slice(None)]["value"].mean()


def listed(net: str, quantity: str, weight: float = 0.0, of: pd.DataFrame = frame) -> str:
    rows = experiment.where(of, net=net, quantity=quantity)
    return ", ".join(f"{value:.2f}" for value in rows[rows["lambda"] == weight]["value"])


def best(name: str, classifying: bool = True) -> float:
    """The weight with which the signal stands out most, of those at which every net classifies.

    As the largest entry, if it is that at more points than chance; else as a dip, by its contrast.
    """
    good = [w for w in grid(name) if not classifying or mean(name, "clean_accuracy", w) == 100]

    def stands_out(w: float) -> tuple[float, float]:
        return np.nan_to_num(max(mean(name, "top1", w), 1 / blocks + 1e-6)), mean(name, "contrast", w)

    return max(good or grid(name), key=stands_out)


def effect(quantity: str, weight: float, of: pd.DataFrame) -> experiment.Difference:
    """The l2 penalty's, seed by seed."""
    rows = experiment.where(of, quantity=quantity)
    rows = rows[rows["lambda"].isin([0.0, weight]) & rows["net"].isin(["standard", L2])]
    return experiment.difference(rows.assign(model=rows["net"]), L2, "standard")


# %%
for name in PENALTIES:
    wanted = experiment.where(frame, net=name, quantity="clean_accuracy")
    accuracies = list(wanted[wanted["lambda"] == best(name, classifying=False)]["value"])
    run.record("BP-S", "accuracy where top1 is highest", accuracies, net=name, width=width)

# %% [markdown]
# (bp-batches)=
# **With the whole set as one batch**: the same nets, the same steps, no noise.

# %%
whole = {(("standard", 0.0), s): recipe({}, s, batch=points) for s in seeds}
whole_nets = trained(whole)
whole_frame = experiment.toy_frame(whole_nets, blocks)
run.record_frame("BP-B", whole_frame.assign(batch="all"), ["net", "batch"], width=width)
noisy = experiment.where(frame, net="standard").assign(batch=str(batch_size))
run.record_frame("BP-B", noisy, ["net", "batch"], width=width)

# %% tags=["hide-input"]
SINGLES = [*WEIGHTS, *GRADIENTS]
KINDEST = {"standard": 0.0} | {name: best(name) for name in SINGLES} | {"adversarial": 0.0}
DIP = KINDEST[L2]
signal = metrics.toy_points(blocks).signal


def map_of(name: str, weight: float, seed: int = penalty_seeds[0]):
    return metrics.toy_gradient(nets[(name, weight), seed].net, blocks)


drawn = [(n, KINDEST[n]) for n in ("standard", L2, "gradients l1", "gradients l2", "adversarial")]
drawn.insert(2, (L2, grid(L2)[-1]))
DRAWN = {f"{n}, {w:g}" if w else n: map_of(n, w) for n, w in drawn}
pairs_of = [dict(list(DRAWN.items())[i : i + 2]) for i in (0, 2, 4)]
plots.save(plots.toy_heat(DRAWN, signal), run.folder / "question")
caption = (
    f"|g| at the {2 * blocks} points (rows, those with y = 1 first), divided by the row's largest entry; yellow: 1, dark: 0.8 or less, the scale of both papers. "
    f"<b>The dot marks the signal.</b> Seed {penalty_seeds[0]}; a number is λ. Without penalty the signal has {mean('standard', 'ratio'):.2f} of the size of the others, with {L2}, λ = {DIP:g}, {mean(L2, 'ratio', DIP):.2f}; "
    f"the others differ among themselves by {mean('standard', 'unevenness'):.1%} and by {mean(L2, 'unevenness', DIP):.1%}. A dip is clear if it is deep beside that (means of {len(seeds)} seeds)."
)
figures = [plots.toy_heat(panel, signal) for panel in pairs_of]
run.fill("picture", plots.show_all(figures, alt="Maps of six nets' gradients,", finding=caption))

# %% [markdown]
# ## Experiments
#
# (bp-f2)=
# ### BP-B: figure 2, and whether the batch matters (ours)
#
# The paper reads its figure 2 as “not very well interpretable”. Shah et al. print bottom1 = 0.562 for one standard net of 25,000 units after 500 epochs: the signal is often the *least* marked entry. A net trained on all points
# at once sees no noise of batches. The two kinds of nets below differ in that alone: initial weights, drawn points and steps are the same. If seeds differ more than the two kinds, it is the initial weights that count.

# %%
rows = pd.concat([noisy, whole_frame.assign(batch="all")])
rows["batch"] = [f"batches of {b}" if b != "all" else "one batch" for b in rows["batch"]]
shown = rows[rows["quantity"].isin(["top1", "bottom1", "ratio", "unevenness", "cosine"])]
travel = mean("standard", "travel")
caption = (
    f"<b>BP-B</b>: standard nets, {width:,} units, {epochs:,} epochs, mean ± sd over {len(seeds)} seeds; the sum of the steps is {travel:.0f}, "
    f"the paper's 4,000 epochs have {sum(experiment.paper_steps(4000, a_epoch=points // batch_size, lr=lr)):.0f}. In print, Shah et al., one net: top1 0.041, bottom1 0.562, cosine 0.29."
)
show.measured(shown, rows="batch", columns="quantity", caption=caption, best=False, digits=2)

# %%
against = "one batch", f"batches of {batch_size}"
bottom = experiment.where(rows, quantity="bottom1").assign(model=lambda f: f["batch"])
batch_effect = experiment.difference(bottom.assign(value=100 * bottom["value"]), *against)
apart = list(experiment.by_seed(bottom, *against))
run.record("BP-B", "one batch minus batches", apart, of="bottom1", width=width)
one = listed("standard", "bottom1", of=whole_frame)
told = f"bottom1, one batch minus batches of {batch_size}: {batch_effect} points of 100"
print(f"{told}. Seed by seed: batches {listed('standard', 'bottom1')}; one batch {one}.")


# %% [markdown]
# (bp-w)=
# **At the paper's width.** With `wide=25000` nets are trained at 25,000 units: in the profiles `recorded` and `paper`. A wide net with these initial weights learns faster at the same rate, about in proportion to its units,
# so that the noise of its steps is larger too: what holds at 500 units need not hold there.

# %%
def wide_nets() -> dict:
    short, long = ({"width": wide, "epochs": n} for n in (wide_epochs[0], wide_epochs[-1]))
    first = {(("standard, short", 0.0), s): recipe({}, s, **short) for s in seeds}
    first |= {(("one batch, short", 0.0), s): recipe({}, s, batch=points, **short) for s in wide_seeds}
    of = recipe({}, wide_seeds[0], inputs=attacked(wide_at_eps), **short)
    first[("adversarial, short", 0.0), wide_seeds[0]] = of
    last = {(("standard", 0.0), s): recipe({}, s, **long) for s in wide_seeds}
    last |= {((L2, w), s): recipe({L2: w}, s, **long) for w in wide_lambdas for s in wide_seeds}
    return trained(first, wide_epochs[0]) | trained(last, wide_epochs[-1])


# %%
if wide:
    wide_frame = experiment.toy_frame(wide_nets(), blocks)
    run.record_frame("BP-S", wide_frame, ["net", "lambda"], width=wide)
    of = wide_frame[wide_frame["quantity"].isin(["top1", "bottom1", "ratio", "unevenness", "contrast"])]
    of = of.assign(net=of["net"] + ", λ " + of["lambda"].map("{:g}".format))
    caption = f"<b>{wide:,} units</b>, mean ± sd over seeds: after {wide_epochs[-1]:,} epochs, short: {wide_epochs[0]:,}."
    display(show.measured(of, rows="net", columns="quantity", caption=caption, best=False, digits=2))
else:
    print("Not run: wide=0 in this profile.")


def at_width(net: str, weight: float) -> str:
    contrast = mean(net, "contrast", weight, wide_frame)
    return f"{listed(net, 'bottom1', weight, wide_frame)} (contrast {contrast:.1f})"


# %% [markdown]
# (bp-s)=
# ### BP-S: every penalty, over its weights
#
# At which fraction of the points is the signal the largest entry, at which the smallest?

# %% tags=["hide-input"]
ENDS = {"largest": "top1", "smallest": "bottom1"}
TINTS = {"largest": "#D55E00", "smallest": "#0072B2"}


def over_weights(name: str):
    ends = {end: experiment.where(frame, net=name, quantity=q) for end, q in ENDS.items()}
    failed = [w for w in grid(name) if mean(name, "clean_accuracy", w) != 100]
    return plots.over_weights(name, ends, TINTS, level=1 / blocks, failed=failed)


told = "; ".join(
    f"{name} {mean(name, 'top1', best(name)):.2f} and {mean(name, 'bottom1', best(name)):.2f} (λ = {best(name):g})"
    for name in PENALTIES
)
finding = (
    f"<b>BP-S</b>: fraction of the points at which the signal is the largest and the smallest entry, against λ; grey: 1/d; bands: 95 % t-intervals. A cross marks weights with which some net does not classify every point. "
    f"Largest and smallest where the signal stands out most, of the other weights: {told}. The sum of the steps is {travel:.0f}."
)
figures = [over_weights(name) for name in PENALTIES]
plots.show_all(figures, alt="Fractions of points against the penalty's weight,", finding=finding)

# %% [markdown]
# (bp-c3)=
# (bp-f4)=
# ### BP-C3: does weight decay find the signal?
#
# ```{predict} bp-guess-decay
# :rule: {trend: {of: {experiment: BP-S, quantity: ratio, net: weights l2, width: {first: 1}}, along: lambda, direction: rising}}
#
# The gradient at the coordinate with the signal, divided by its mean size at the others, is 1 where the signal does not stand out. How does it change as weight decay becomes stronger?
#
# - it rises
# - it falls
# - no clear change
# ```
#
# The paper's main finding: with l2 on the weights “only at the coordinates where the information is located, the gradients stand out clearly from all other gradients” (figure 4). A signal that is
# the **least** marked entry stands out too: dark on yellow, or, with the colours reversed, as if it were found. Which scale the paper took cannot be known. If the standard net has that dip as well, what does the penalty add?

# %%
decay = experiment.where(frame, net=L2)
decay = pd.concat([experiment.where(frame, net="standard"), decay])
losses_of = decay[decay["quantity"] == "cross_entropy"].groupby("lambda")["value"].mean()
decay = decay[decay["quantity"].isin(["top1", "bottom1", "ratio", "unevenness", "contrast"])]
added = {q: effect(q, DIP, frame) for q in ("bottom1", "ratio", "unevenness", "contrast")}
told = ", ".join(f"{q} {of:.3f}" for q, of in added.items())
caption = (
    f"<b>BP-C3</b>: squared l2 penalty on all weights (λ = 0: none), {width:,} units, mean ± sd over {len(seeds)} seeds; a uniform map has ratio 1. Cross-entropy alone, row by row: {', '.join(map('{:.3f}'.format, losses_of))}. "
    f"λ = {DIP:g} minus none, seed by seed: {told}."
)
show.measured(decay, rows="lambda", columns="quantity", caption=caption, best=False, digits=2)

# %% [markdown]
# **Figure 2 against figure 4.** A pattern is seen if it is deep beside the unevenness of the rest. The table says which of the two a penalty changes.
#
# (bp-t)=
# ### BP-T: trained on (ours)
#
# Nets with the same penalty, trained on: all points in one batch and growing steps, so that a sum of thousands costs seconds.

# %%
growing = {"first": lr, "steady": 5 if run.profile == "smoke" else 60, "growth": 1.07, "largest": 6.0}
growing["last"] = 0.2 * lr
of = {((L2, w), s): recipe({L2: w}, s, batch=points) for w in grid(L2) for s in penalty_seeds}
of |= {(("standard", 0.0), s): recipe({}, s, batch=points) for s in penalty_seeds}
how = {"growing": growing, "device": device, "report": run.status}
long = experiment.toy_trained_on(of, sums, blocks, **how)
kept = long["quantity"].isin(["top1", "bottom1", "ratio", "unevenness", "contrast"])
run.record_frame("BP-T", long[kept], ["net", "lambda", "sum"], width=width)

# %%
equal = experiment.apart_at_equal_product(experiment.where(long, net=L2, quantity="ratio"))
for near, of in equal.items():
    run.record("BP-T", "spread of ratio at equal product", of, product=near, width=width)
apart = max((max(of) for of in equal.values()), default=float("nan"))


# %% tags=["hide-input"]
def against_product(quantity: str):
    of = experiment.where(long, quantity=quantity)
    of = of.groupby(["lambda", "product"], as_index=False)["value"].mean()
    lines = {f"λ = {w:g}": of[of["lambda"] == w] for w in grid(L2)}
    fig = plots.panels({quantity: lines}, "product", plots.ramp(list(lines)), size=(3.6, 2.9))
    fig.axes[0].axhline(of[of["lambda"] == 0]["value"].mean(), color=plots.LEVEL, linestyle="--")
    fig.axes[0].set(xscale="log", xlabel="λ × sum of the steps")
    return fig


def at_end(net: str, quantity: str) -> float:
    return experiment.where(long, net=net, quantity=quantity, sum=max(sums))["value"].mean()


finding = (
    f"<b>BP-T</b>: the l2 penalty, {width:,} units, sums of {', '.join(f'{t:,.0f}' for t in sorted(sums))}, means of {len(penalty_seeds)} seed(s); dashed: no penalty, all sums. "
    f"At the largest sum, ratio with a penalty {at_end(L2, 'ratio'):.3f}, without {at_end('standard', 'ratio'):.3f}. Where two weights have about the same product, their ratios differ by at most {apart:.3f}."
)
figures = [against_product(q) for q in ("ratio", "contrast")]
plots.show_all(figures, alt="Against the weight times the sum of the steps,", finding=finding)

# %% [markdown]
# (bp-f3)=
# (bp-f5)=
# **Figures 3 to 5**: every penalty at the weight with which the signal stands out most, as the figures of the paper show one net each.

# %%
maps = {f"{n}, {KINDEST[n]:g}": map_of(n, KINDEST[n]) for n in SINGLES}
figures = [plots.toy_heat(dict(list(maps.items())[i : i + 2]), signal) for i in (0, 2, 4)]
finding = f"As in the first picture; titles give the penalty and λ. Seed {penalty_seeds[0]}."
plots.show_all(figures, alt="Maps of six nets, one for each penalty,", finding=finding)

# %% [markdown]
# (bp-n)=
# ### BP-N: the nets side by side
#
# The text describes 1 + 3 + 3 + 6 = 13 nets, and says 11 (BP-E1). For each single penalty stands one weight: that with which the signal stands out most, as the largest entry if it is that at more points than chance, else as a dip. Robustness has no part in it.

# %%
chosen_nets = {place: of for place, of in nets.items() if KINDEST.get(place[0][0]) == place[0][1]}
chosen = frame[[KINDEST.get(n) == w for n, w in zip(frame["net"], frame["lambda"], strict=True)]]
run.record_frame("BP-N", chosen, ["net"], width=width)
radii = {"linf": radii_linf, "l2": radii_l2, "l1": radii_l1}
curves = experiment.toy_attacked(chosen_nets, blocks, radii=radii, steps=attack_steps)
reached = experiment.toy_reach(curves)
run.record_frame("BP-N", reached, ["net", "attack"], width=width)


# %%
def named(of: pd.DataFrame) -> pd.DataFrame:
    return of.assign(net=[f"{n}, λ {KINDEST[n]:g}" if KINDEST[n] else n for n in of["net"]])


sides = named(chosen[chosen["quantity"].isin(["top1", "bottom1", "ratio", "contrast"])])
caption = f"<b>BP-N</b>: {width:,} units, mean ± sd over seeds. Adversarial training ends at a cross-entropy of {mean('adversarial', 'loss'):.2f} on attacked points; ln 2 = 0.69 would say that it has not learnt."
display(show.measured(sides, rows="net", columns="quantity", caption=caption, best=False, digits=2))
caption = (
    "<b>BP-N, robustness</b>: the largest radius, of those tried, at which every attacked point is right, strong protocol; points in [−1, 1]. "
    "The standard and adversarially trained nets of Shah et al. (25,000 units, radius 0.45) hold up to linf 0.05 and 0.45."
)
strong = named(reached[reached["attack"] != "linf, sh"])
show.measured(strong, rows="net", columns="norm", caption=caption, best=False, digits=3)

# %% [markdown]
# (bp-f6)=
# ### BP-F6: accuracy against the strength of the attack
#
# ```{predict} bp-guess-robust
# :where: {experiment: BP-N, quantity: "radius, linf", attack: "linf, strong", width: {first: 1}}
# :largest: [{net: standard}, {net: weights l2}, {net: gradients l1}, {net: adversarial}]
#
# Which net stays right up to the largest attack (linf radius)?
#
# - the standard net
# - the net with weight decay
# - the net with an l1 penalty on its gradient
# - the adversarially trained net
# - no clear winner
# ```
#
# The paper names no attack. Ours are the one of Shah et al., eight signed steps from the point itself; the strong protocol, cross-entropy and margin with random starts, judged at every step; and l2 and l1, since what is robust in one norm need not be in another.

# %% tags=["hide-input"]
COLOURS = "#333333 #0072B2 #D55E00 #009E73 #56B4E9 #E69F00 #8FA3B3 #CC79A7"
SHADES = dict(zip(KINDEST, COLOURS.split(), strict=True))


def against_radius(norm: str, protocol: str):
    of = experiment.where(curves, norm=norm, protocol=protocol)
    lines = {n: experiment.where(of, net=n) for n in SHADES}
    title = f"{norm}, {'the attack of Shah et al.' if protocol == 'sh' else 'strong'}"
    fig = plots.panels({title: lines}, "radius", SHADES, size=(4.2, 3.3))
    fig.axes[0].set(ylabel="accuracy, %", ylim=(-4, 104))
    fig.axes[0].legend(fontsize=6.5)
    return fig


ends = curves[(curves["radius"] == max(radii_linf)) & (curves["norm"] == "linf")]
half = ends.rename(columns={"protocol": "attack"}).assign(quantity="accuracy at the largest radius")
run.record_frame("BP-F6", half, ["net", "attack"], width=width)
at_ends = half.groupby(["attack", "net"], sort=False)["value"].mean()
lost = {p: f"{sum(at_ends[p] == 0)} of {len(at_ends[p])}" for p in ("sh", "strong")}
finding = f"<b>BP-F6</b>: means over seeds, bands 95 % t-intervals. At linf {max(radii_linf):g}, {lost['sh']} nets are at 0 % under the attack of Shah et al., {lost['strong']} under the strong one."
panels_of = [("linf", "sh"), ("linf", "strong"), ("l2", "strong"), ("l1", "strong")]
figures = [against_radius(*of) for of in panels_of]
plots.show_all(figures, alt="Accuracy of eight nets against the radius,", finding=finding)

# %% [markdown]
# The paper's explanation of its plateau at 50 %, “a binary classification problem”, does not hold (BP-E5): an untargeted attack that works takes a two-class net to 0 %. A plateau says that an attack is stuck.
#
# (bp-r)=
# ### BP-R: where a leaking net breaks (ours)
#
# The net of the theorem in closed form and double precision, attacked just below and just above $1/d$. All its points fall at once, and so must the curve of every net near it (BP-E8).

# %%
leaking, at = models.leaking_net(blocks).to(device), metrics.toy_points(blocks, device)
broken = []
for share in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
    eps = share / blocks
    worst = 100 * attacks.evaluate(leaking, at.x.double(), at.y, norm="linf", eps=eps / 2, restarts=1).worst
    run.record("BP-R", "accuracy", worst, share=share, expected=100.0 if share < 1 else 0.0)
    broken.append({"radius": f"{share:g}/d", "accuracy, %": worst})
caption = f"<b>BP-R</b>: d = {blocks}, strong protocol."
show.listed(pd.DataFrame(broken), ["radius", "accuracy, %"], caption=caption)

# %% [markdown]
# (bp-pairs)=
# ### Two penalties at once
#
# The paper finds that they change little. With `pairs=true` the six nets are trained, each penalty with its weight of BP-N.

# %%
PAIRS = [(f"weights {w}", f"gradients {g}") for w in ("l1", "l2") for g in NORMS]


def both(names: tuple[str, str]) -> dict:
    name, weights = " + ".join(names), {n: KINDEST[n] for n in names}
    return {((name, 0.0), s): recipe(weights, s) for s in penalty_seeds}


def change(names: tuple[str, str], of: pd.DataFrame) -> None:
    top = of.pivot_table(index="seed", columns="net", values="value").dropna()
    pair, (first, second) = top[" + ".join(names)], (top[n] for n in names)
    nearest = pd.concat([(pair - first).abs(), (pair - second).abs()], axis=1).min(axis=1)
    run.record("BP-N", "change_from_weights", list(pair - first), net=" + ".join(names), width=width)
    run.record("BP-N", "change_from_nearest", list(nearest), net=" + ".join(names), width=width)


# %%
if pairs:
    pair_frame = experiment.toy_frame(
        trained({k: v for names in PAIRS for k, v in both(names).items()}), blocks
    )
    run.record_frame("BP-N", pair_frame, ["net"], width=width)
    for names in PAIRS:
        change(names, experiment.where(pd.concat([chosen, pair_frame]), quantity="top1"))
    of = pair_frame[pair_frame["quantity"].isin(["top1", "bottom1", "ratio"])]
    caption = f"<b>BP-N, two penalties</b>, {width:,} units, mean ± sd over {len(penalty_seeds)} seeds."
    display(show.measured(of, rows="net", columns="quantity", caption=caption, best=False, digits=2))
else:
    print("Not run: pairs=false in this profile.")

# %% [markdown]
# (bp-explorer)=
# ### One point under a penalty
#
# The ten entries of $|g|$ at the point $e_1$, over the largest; its signal is the first. Slide λ from none (0) to the largest of the grid. Beside it, the net after adversarial training.

# %%
few_steps = distinct_points.step_sizes(travel, **growing)
once = {
    ((name, w), seeds[0]): recipe({name: w} if w else {}, seeds[0], batch=points)
    for name in WEIGHTS
    for w in (0.0, *grid(name))
}
once = experiment.toy_nets(once, few_steps, train=distinct_points.train, device=device, report=run.status)


# %%
def frame_of(of, weight: float):
    bars = plots.toy_bars(metrics.toy_gradient(of.net, blocks)[0], 0)
    pictures = {"this net": plots.show(bars, alt="Ten bars."), "adversarial": PEAK}
    score = {q: f"{v:.2f}" for q, v in metrics.toy_scores(of.net, blocks).items()}
    return pictures, {"λ": f"{weight:g}"} | {q: score[q] for q in ("top1", "bottom1", "ratio")}


def frames() -> dict:
    made = {}
    for norm in NORMS:
        name, first = f"weights {norm}", (seeds if norm == "l2" else penalty_seeds)[0]
        for level, w in enumerate((0.0, *grid(name))):
            noisy_net = nets[(name, w), first] if w else nets[("standard", 0.0), first]
            made[norm, f"{batch_size} points", level] = frame_of(noisy_net, w)
            made[norm, "all points", level] = frame_of(once[(name, w), seeds[0]], w)
    return made


PEAK = plots.show(plots.toy_bars(DRAWN["adversarial"][0], 0), alt="Adversarially trained: ten bars.")

# %%
levels = list(range(1 + min(len(grid(name)) for name in WEIGHTS)))
controls = {"penalty on the weights": list(NORMS), "batch": [f"{batch_size} points", "all points"]}
controls["λ, from 0 for none to the largest"] = levels
kept = {place: of for place, of in frames().items() if place[2] in levels}
told = f"{width:,} units, the first seed. With all points in one batch the steps grow and are {len(few_steps)}, with the same sum or less."
explorer.frames(controls, kept, caption=told, start=("l2", f"{batch_size} points", 1))

# %% [markdown]
# (bp-claims)=
# ## Verdicts on the paper's claims
#
# The rules are data, `book/claims/bp.yaml`. They were written down before the first run; where one was revised after a run, its note says when and why. {doc}`../book/decisions` says how an answer is reached and how often it is wrong.

# %%
told = f"The toy, {width:,} units, {len(seeds)} seed(s). top1, bottom1: fractions of the {2 * blocks} points; radii: points in [−1, 1]."
display(*verdicts.table(run.notebook, run.rows, told))

# %% tags=["hide-input"]
radius = reached.groupby(["attack", "net"])["value"].mean()
held = ", ".join(f"{n} {radius['linf, strong', n]:.3g}" for n in KINDEST)
most_marked = ", ".join(f"{n} {mean(n, 'top1', KINDEST[n]):.0%}" for n in SINGLES)
marking = [n for n in KINDEST if n.startswith(("grad", "adv"))]
ratios = ", ".join(f"{n} {mean(n, 'ratio', KINDEST[n]):.3g}" for n in marking)
wide_told = [
    f"<b>At {wide:,} units</b> bottom1 is {at_width('standard', 0.0)} without penalty, {at_width(L2, w)} with λ = {w:g} ({show.link('bp-w', 'table')})."
    for w in wide_lambdas * bool(wide)
]
DEPTHS, REST = ("as deep", "shallower", "deeper"), ("as even", "less even", "more even")  # by sign
failing = ", ".join(
    f"{n} {mean(n, 'top1', w):.0%} at λ = {w:g}, with accuracy {mean(n, 'clean_accuracy', w):.0f} %"
    for n in SINGLES
    if (w := best(n, classifying=False)) != KINDEST[n]
)
missing = ["the paper's width of 25,000 units"] * (not wide) + ["nets with two penalties"] * (not pairs)
share = travel / sum(experiment.paper_steps(4000, a_epoch=points // batch_size, lr=lr))
show.found(
    run,
    [
        f"<b>Without a penalty</b> the signal is the <i>least</i> marked entry at {listed('standard', 'bottom1')} of the points ({len(seeds)} seeds; Shah et al. print 0.562 for 25,000 units), the most marked at {mean('standard', 'top1'):.2f}; it has {mean('standard', 'ratio'):.2f} of the others' size ({show.link('bp-f2', 'table')}).",
        f"<b>What the l2 penalty on the weights adds</b> (λ = {DIP:g}, times the sum of the steps {DIP * travel:.2g}): bottom1 {added['bottom1']:.2f}, ratio {added['ratio']:.3f}, unevenness of the other entries {added['unevenness']:.3f}, so contrast {added['contrast']:.2f}. The dip is {DEPTHS[added['ratio'].sign]} and the rest {REST[added['unevenness'].sign]}. {'That can make figure 4 clearer than figure 2. ' * (added['contrast'].sign > 0)}The signal is the largest entry at {mean(L2, 'top1', DIP):.0%} of the points ({show.link('bp-c3', 'table')}).",
        f"<b>λ times the sum of the steps.</b> Where two weights have about the same, their ratios differ by at most {apart:.3f}. Trained on, to a sum of {max(sums):,.0f}, the ratio with the penalty is {at_end(L2, 'ratio'):.3f}; the theorem's uniform map has 1. Without penalty it is {at_end('standard', 'ratio'):.2f} ({show.link('bp-t')}).",
        f"Which penalty puts the largest entry at the signal? {most_marked}; adversarial training (linf {at_eps:g}) {mean('adversarial', 'top1'):.0%} of the points. Higher where nets do not classify: {failing or 'none'} ({show.link('bp-s')}).",
        f"Ratio of the signal's entry to the others: {ratios} ({show.link('bp-n', 'table')}). Every point is right up to linf: {held} ({show.link('bp-f6')}).",
        *wide_told,
        f"{verdicts.in_short(run.notebook, run.rows)} ({show.link('bp-claims', 'verdicts')})",
        f"Not run here: {' and '.join(missing) or 'nothing'}. {width:,} units where the paper has 25,000, and {epochs:,} of its 4,000 epochs, which make {share:.0%} of the sum of its steps.",
    ],
)

# %% [markdown]
# ## What differs from the paper, and what it left out
#
# Setting by setting. Where one is a parameter of this chapter, its values in the profiles stand below it. The same for all chapters: {doc}`../book/fidelity`.

# %% tags=["hide-output"]
fidelity.table("discriminative_features")


# %% [markdown]
# **Errata of the paper.** BP-E1 (thirteen nets, not eleven: {ref}`BP-N <bp-n>`), BP-E2 (noise blocks in the text, none in the figures), BP-E3 (all six single penalties are run), BP-E5 (the plateau: {ref}`BP-F6 <bp-f6>`),
# BP-E7 (a uniform map is the leaking solution, not a sign of weights at zero: {ref}`BP-C3 <bp-c3>`), BP-E8 ({ref}`the radius 1/d <bp-r>`). BP-E4 and BP-E6 are slips of wording and citation.
#
# ## Exercises
#
# ```{exercise} Which gradient is small?
# :label: bp-ex-which
# Write the loss gradient of a two-class net as a factor times the gradient of the lead. How can a net make the loss gradient small, and how that of a logit?
# ```
#
# ```{solution} bp-ex-which
# :class: dropdown
# $\nabla_x \ell = -(1 - p_y)\,\nabla_x(z_y - z_{\bar y})$. The first factor falls as the net grows confident: scaling the logits up makes the loss gradient *smaller*, though the logits grow steeper. A penalty on the logit's gradient leaves only a less
# steep function with the same margin, which under the l1 norm means to climb along the signal's coordinate alone. Try `-p variants=true`.
# ```
#
# ```{exercise} A penalty forgets
# :label: bp-ex-forgets
# By which factor do steps $\eta_1, \eta_2, \dots$ of gradient descent on $\lambda\lVert\theta\rVert_2^2$ alone shrink the weights? What is left of the initial ones after the paper's schedule, whose steps sum to 920, with λ = 0.0003? For which sum is it 1 %?
# ```
#
# ```{solution} bp-ex-forgets
# :class: dropdown
# $\prod_t (1 - 2\lambda\eta_t) \approx e^{-2\lambda\sum\eta}$: 58 % is left, and 1 % for a sum of $\ln 100 / (2 \cdot 0.0003) \approx 7{,}700$. In between the map is that of a net on its way, made of its initial weights and of what the loss has built. Compare BP-T, and try `-p sums=600,20000`.
# ```
#
# ```{exercise} An adversary in one line
# :label: bp-ex-linf
# Show that for a linear net the worst linf attack of radius ε lowers the margin by ε times the l1 norm of the gradient. Which gradient, at the point $y\,e_j$ and with given margin there, is then the most robust?
# ```
#
# ```{solution} bp-ex-linf
# :class: dropdown
# $\min_{\lVert\delta\rVert_\infty \le \varepsilon} \langle g, \delta\rangle = -\varepsilon\lVert g\rVert_1$. With $f$ linear around the point and $f = m$ there, $\lVert g\rVert_1$ is smallest if $g$ has no entry but the signal's: that is what adversarial training finds. The leaking solution has $\lVert g\rVert_1 = dm$, the largest of all nets whose
# gradient has no entry above $m$. In l1 the dual norm is the largest entry, and there the two are equal.
# ```
#
# ## Play with it
#
# Train the toy live: a small net, a few epochs, and the point $e_1$.

# %%
def play(
    norm: str = "l2", weight: float = 0.001, batch: int = batch_size, epochs: int = 20, units: int = 200
) -> plots.Shown:
    of = recipe({f"weights {norm}": weight}, 0, batch=batch, width=units, epochs=epochs)
    steps = experiment.paper_steps(epochs, a_epoch=points // batch, lr=lr)
    (made,) = minibatches.train([of], steps, device=device)
    score = metrics.toy_scores(made.net, blocks)
    told = f"loss {made.loss:.3g}, top1 {score['top1']:.2f}, bottom1 {score['bottom1']:.2f}, ratio {score['ratio']:.2f}"
    bars = plots.toy_bars(metrics.toy_gradient(made.net, blocks)[0], 0)
    return plots.show(bars, alt="Ten bars, one a coordinate.", finding=told, width="22rem")


sizes = [b for b in (50, 250, 1000, points) if points % b == 0]
choices = {"norm": list(NORMS), "weight": (0.0, 0.01, 0.0001), "epochs": (1, 200, 1), "units": (10, 1000, 10)}
playground.controls(play, live=run.profile is None, batch=sizes, **choices)

# %% [markdown]
# ## Rerun it
#
# ```sh
# companion run discriminative_features -p lambdas_l2=0.0001,0.0003,0.03       # other weights
# companion run discriminative_features -p batch_size=1000 -p seeds=0,1        # less noise
# companion run discriminative_features --profile recorded                     # 4,000 epochs, and 25,000 units: hours on a CPU
# papermill notebooks/discriminative_features.ipynb out.ipynb -f notebooks/profiles/quick/discriminative_features.yaml -p width 100
# ```

# %%
show.costs(run)

# %%
run.provenance_strip()
