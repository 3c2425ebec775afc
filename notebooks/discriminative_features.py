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
epochs: int = 250  # in [1, inf): passes over the points; 500 in the code of Shah et al., 4,000 in the paper
lr: float = 0.1  # in (0, inf): first learning rate, x 0.75 every 50 epochs, never below a hundredth of it
lambdas_l1: list[float] = [0.0001, 0.0003, 0.001]  # in (0, inf): weights of the l1 penalty on the weights
lambdas_l2: list[float] = [0.0003, 0.001, 0.003]  # in (0, inf): weights of the squared l2 penalty on the weights
lambdas_linf: list[float] = [0.03, 0.1, 0.3]  # in (0, inf): weights of the linf penalty on the weights
lambdas_gradient: list[float] = [0.3, 1]  # in (0, inf): weights of the penalties on the loss gradient, points in [-1, 1]
variants: bool = False  # also penalise weights without biases, plain l2 instead of squared, and the logit's gradient
pairs: bool = False  # also train the six nets with two penalties
at_eps: float = 0.3  # in (0, 1): linf radius of adversarial training, points in [-1, 1]; the code's 0.45 does not train at 500 units
at_steps: int = 8  # in [1, inf): its attack's steps of a quarter of the radius
at_epochs: int = 150  # in [1, inf): its passes over the points
radii_linf: list[float] = [0.05, 0.08, 0.09, 0.095, 0.1, 0.105, 0.11, 0.12, 0.13, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]  # in (0, 1]: linf radii of the attacks, points in [-1, 1]
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
# A gradient that knows nothing of $j$ has $1/d$, $1/d$ and 1.

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
# norms are not. What is true at one $\lambda$ need not be at another, so every claim is asked over a grid of them.

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
# coordinate, whichever holds the signal ({prf:ref}`the leakage theorem <df-thm>`). Weight decay pulls towards that net. It has ratio 1, so the theorem predicts the opposite of the paper's finding.
#
# **What makes a net robust.** Near the points a leaking net is linear with slope $s$ along every coordinate and margin $s$. A linf attack of radius $\varepsilon$ lowers the margin by
# $d\varepsilon s$: the net is right for $\varepsilon < 1/d$ and wrong beyond. A net whose gradient marks the signal alone is right up to $\varepsilon = 1/2$, halfway to the other class. In l1 both lose at radius 1.
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


def grid(name: str) -> list[float]:
    if name == "weights l2, plain":  # a norm of order 10 where the square is of order 100
        return [10 * weight for weight in sorted(lambdas_l2)]
    of = {"weights l1": lambdas_l1, "weights linf": lambdas_linf}
    return sorted(of.get(name, lambdas_l2 if name.startswith("weights") else lambdas_gradient))


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
places |= {
    ((name, weight), s): recipe({name: weight}, s)
    for name in PENALTIES
    for weight in grid(name)
    for s in (seeds if name == L2 else penalty_seeds)
}
at_places = {
    (("adversarial", 0.0), s): recipe({}, s, epochs=at_epochs, inputs=attacked(at_eps)) for s in penalty_seeds
}
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


def best(net: str, quantity: str) -> float:
    """The weight at which the penalty's mean score is highest, of those at which every net classifies."""
    good = [w for w in grid(net) if mean(net, "clean_accuracy", w) == 100]
    return max(good or grid(net), key=lambda w: mean(net, quantity, w))


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
DIP, LAST, FOUND = (
    best(L2, "bottom1"),
    grid(L2)[-1],
    max(GRADIENTS, key=lambda n: mean(n, "top1", best(n, "top1"))),
)
signal = metrics.toy_points(blocks).signal


def map_of(name: str, weight: float = 0.0, of: dict = nets, seed: int = seeds[0]):
    return metrics.toy_gradient(of[(name, weight), seed].net, blocks)


DRAWN = {
    "standard": map_of("standard"),
    "one batch": map_of("standard", of=whole_nets),
    f"weights l2, {DIP:g}": map_of(L2, DIP),
    f"weights l2, {LAST:g}": map_of(L2, LAST),
    f"{FOUND}, {best(FOUND, 'top1'):g}": map_of(FOUND, best(FOUND, "top1"), seed=penalty_seeds[0]),
    "adversarial": map_of("adversarial", seed=penalty_seeds[0]),
}
pairs_of = [dict(list(DRAWN.items())[i : i + 2]) for i in (0, 2, 4)]
plots.save(plots.toy_heat(DRAWN, signal), run.folder / "question")
caption = (
    f"|g| at the {2 * blocks} points (rows, those with y = 1 first), divided by the row's largest entry; yellow: 1, dark: 0.8 or less, the scale of both papers. "
    f"<b>The dot marks the signal.</b> Seed {seeds[0]}: standard training with batches of {batch_size} and with one batch; squared l2 penalty on the weights with two λ; the penalty on the gradients that localises best; adversarial training. "
    f"With λ = {DIP:g} the signal is the <i>smallest</i> entry at {100 * mean(L2, 'bottom1', DIP):.0f} % of the points and the largest at {100 * mean(L2, 'top1', DIP):.0f} % (mean over {len(seeds)} seeds)."
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
# at once sees no noise of batches. The two kinds of nets below differ in that alone: initial weights, drawn points and steps are the same.

# %%
rows = pd.concat([noisy, whole_frame.assign(batch="all")])
rows["batch"] = [f"batches of {b}" if b != "all" else "one batch" for b in rows["batch"]]
shown = rows[rows["quantity"].isin(["top1", "bottom1", "ratio", "cosine"])]
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
run.record(
    "BP-B", "one batch minus batches", list(experiment.by_seed(bottom, *against)), of="bottom1", width=width
)
print(f"bottom1, one batch minus batches of {batch_size}: {batch_effect} points of 100")

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
    of = wide_frame[wide_frame["quantity"].isin(["top1", "bottom1", "ratio", "loss"])]
    of = of.assign(net=of["net"] + ", λ " + of["lambda"].map("{:g}".format))
    caption = f"<b>{wide:,} units</b>, mean ± sd over seeds: after {wide_epochs[-1]:,} epochs, short: {wide_epochs[0]:,}."
    display(show.measured(of, rows="net", columns="quantity", caption=caption, best=False, digits=3))
else:
    print("Not run: wide=0 in this profile.")

# %% [markdown]
# (bp-s)=
# ### BP-S: every penalty, over its weights
#
# At which fraction of the points is the signal the largest entry, at which the smallest?

# %% tags=["hide-input"]
ENDS = {"largest": ("top1", "#D55E00"), "smallest": ("bottom1", "#0072B2")}


def over_weights(name: str):
    ends = {end: experiment.where(frame, net=name, quantity=q) for end, (q, _) in ENDS.items()}
    if len(grid(name)) > 1:
        fig = plots.panels({name: ends}, "lambda", {end: c for end, (_, c) in ENDS.items()}, size=(3.4, 2.5))
        fig.axes[0].set(xscale="log", ylim=(-0.05, 1.05), xlabel="λ")
        fig.axes[0].set_xticks(grid(name), [f"{w:g}" for w in grid(name)], minor=False)
        fig.axes[0].minorticks_off()
        fig.axes[0].axhline(1 / blocks, color="#888888", linewidth=1)
        return fig
    raise ValueError(f"{name} has one weight; give at least two")


told = "; ".join(
    f"{name}: largest at {mean(name, 'top1', best(name, 'top1')):.2f} (λ = {best(name, 'top1'):g}), smallest at {mean(name, 'bottom1', best(name, 'bottom1')):.2f} (λ = {best(name, 'bottom1'):g})"
    for name in PENALTIES
)
finding = f"<b>BP-S</b>: fraction of the points at which the signal is the largest and the smallest entry, against λ; grey: 1/d. Bands: 95 % t-intervals. At its best λ, of those at which every net classifies: {told}."
plots.show_all(
    [over_weights(name) for name in PENALTIES],
    alt="Fractions of points against the penalty's weight,",
    finding=finding,
)

# %% [markdown]
# (bp-c3)=
# (bp-f4)=
# ### BP-C3: does weight decay find the signal?
#
# The paper's main finding: with l2 on the weights “only at the coordinates where the information is located, the gradients stand out clearly from all other gradients” (figure 4). Two readings of that picture can be told apart.

# %%
decay = experiment.where(frame, net=L2)
decay = pd.concat([experiment.where(frame, net="standard"), decay])
decay = decay[decay["quantity"].isin(["top1", "bottom1", "ratio", "cosine"])]
uniform = blocks**-0.5
caption = f"<b>BP-C3</b>: squared l2 penalty on all weights (λ = 0: none), {width:,} units, mean ± sd over {len(seeds)} seeds. The leaking net has ratio 1 and cosine 1/√d = {uniform:.3f}."
show.measured(decay, rows="lambda", columns="quantity", caption=caption, best=False, digits=3)

# %% [markdown]
# A map in which the signal is the **least** marked entry shows figure 4's pattern too: on the scale from 0.8 to 1 it is dark on yellow, and printed with the colours reversed, or read without the scale, it looks like a signal that was
# found. So where bottom1 is near 1 at some λ, the picture is there and the interpretation is not. Which λ the paper took, and which scale, cannot be known. A larger λ makes the map uniform, as the theorem says.
#
# (bp-f3)=
# (bp-f5)=
# **Figures 3 and 5**: the other penalties at the weight that localises best, as the figures of the paper show one net each.


# %%
def kindest(name: str) -> float:
    good = [w for w in grid(name) if mean(name, "clean_accuracy", w) == 100] or grid(name)
    return max(good, key=lambda w: (mean(name, "top1", w), mean(name, "ratio", w)))


SINGLES = [*WEIGHTS, *GRADIENTS]
KINDEST = {"standard": 0.0} | {name: kindest(name) for name in SINGLES} | {"adversarial": 0.0}
maps = {
    f"{n}, {KINDEST[n]:g}": metrics.toy_gradient(nets[(n, KINDEST[n]), penalty_seeds[0]].net, blocks)
    for n in SINGLES
}
figures = [plots.toy_heat(dict(list(maps.items())[i : i + 2]), signal) for i in (0, 2, 4)]
finding = (
    f"As in the first picture; titles give the penalty and λ. Seed {penalty_seeds[0]}, none chosen by hand."
)
plots.show_all(figures, alt="Maps of six nets, one for each penalty,", finding=finding)

# %% [markdown]
# (bp-n)=
# ### BP-N: the nets side by side
#
# The text describes 1 + 3 + 3 + 6 = 13 nets, and says 11 (BP-E1). For each single penalty stands the weight with which its nets localise best: the choice kindest to the paper, and robustness has no part in it.

# %%
chosen_nets = {place: of for place, of in nets.items() if KINDEST.get(place[0][0]) == place[0][1]}
chosen = frame[[KINDEST.get(n) == w for n, w in zip(frame["net"], frame["lambda"], strict=True)]]
run.record_frame("BP-N", chosen, ["net"], width=width)
radii = {"linf": radii_linf, "l2": radii_l2, "l1": radii_l1}
curves = experiment.toy_attacked(chosen_nets, blocks, radii=radii, steps=attack_steps)
BY = ["net", "seed", "norm", "protocol"]
reached = [
    {
        "net": n,
        "seed": s,
        "norm": norm,
        "attack": f"{norm}, {protocol}",
        "value": metrics.reach(of.to_dict("records")),
    }
    for (n, s, norm, protocol), of in curves.groupby(BY, sort=False)
]
reached = pd.DataFrame(reached).assign(quantity="radius")
run.record_frame("BP-N", reached, ["net", "attack"], width=width)


# %%
def named(of: pd.DataFrame) -> pd.DataFrame:
    return of.assign(net=[f"{n}, λ {KINDEST[n]:g}" if KINDEST[n] else n for n in of["net"]])


sides = named(chosen[chosen["quantity"].isin(["top1", "bottom1", "ratio", "loss"])])
caption = f"<b>BP-N</b>: {width:,} units, mean ± sd over seeds. A loss above ln 2 = 0.69 after adversarial training would say that it has not learnt."
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
# The paper names no attack. Ours are the one of Shah et al., eight signed steps from the point itself; the strong protocol, cross-entropy and margin with random starts, judged at every step; and l2 and l1, since what is robust in one norm need not be in another.

# %% tags=["hide-input"]
SHADES = {"standard": "#333333", "adversarial": "#CC79A7", L2: "#D55E00", "weights l1": "#0072B2"}
SHADES |= {
    "weights linf": "#009E73",
    "gradients l1": "#56B4E9",
    "gradients l2": "#E69F00",
    "gradients linf": "#8FA3B3",
}


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
plateau = ", ".join(f"{n} {at_ends['sh', n]:.0f} and {at_ends['strong', n]:.0f}" for n in SHADES)
finding = f"<b>BP-F6</b>: means over seeds, bands 95 % t-intervals. At linf {max(radii_linf):g}, under the attack of Shah et al. and the strong one, per cent: {plateau}."
panels_of = [("linf", "sh"), ("linf", "strong"), ("l2", "strong"), ("l1", "strong")]
plots.show_all(
    [against_radius(*of) for of in panels_of],
    alt="Accuracy of eight nets against the radius,",
    finding=finding,
)

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
show.listed(
    pd.DataFrame(broken), ["radius", "accuracy, %"], caption=f"<b>BP-R</b>: d = {blocks}, strong protocol."
)

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
# The ten entries of $|g|$ at the point $e_1$, over the largest; its signal is the first. Slide λ from none to the largest weight and watch it. Beside it, the net after adversarial training.

# %%
growing = {"first": lr, "steady": 60, "growth": 1.07, "largest": 6.0, "last": 0.2 * lr}
if run.profile == "smoke":
    growing |= {"steady": 5}
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
controls = {"norm of the weights": list(NORMS), "batch": [f"{batch_size} points", "all points"]}
controls["λ, step"] = list(range(1 + min(len(grid(name)) for name in WEIGHTS)))
kept = {place: of for place, of in frames().items() if place[2] in controls["λ, step"]}
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
ratios = ", ".join(
    f"{n} {mean(n, 'ratio', w):.3g}" for n, w in KINDEST.items() if n.startswith(("grad", "adv"))
)
missing = [
    name
    for name, there in (("the paper's width of 25,000 units", wide), ("nets with two penalties", pairs))
    if not there
]
share = travel / sum(experiment.paper_steps(4000, a_epoch=points // batch_size, lr=lr))
show.found(
    run,
    [
        f"After standard training the signal is the <i>least</i> marked entry at {listed('standard', 'bottom1')} of the points ({len(seeds)} seeds; Shah et al. print 0.562 for 25,000 units), the most marked at {mean('standard', 'top1'):.2f}. With all points in one batch this changes by {batch_effect} points of 100 ({show.link('bp-f2', 'table')}).",
        f"<b>The l2 penalty on the weights.</b> With λ = {DIP:g} it is the <i>smallest</i> entry at {listed(L2, 'bottom1', DIP)} and the largest at {listed(L2, 'top1', DIP)} of the points; with λ = {LAST:g} the ratio is {mean(L2, 'ratio', LAST):.3f} ({show.link('bp-c3', 'table')}).",
        f"Which penalty puts the largest entry at the signal? {most_marked}; adversarial training (linf {at_eps:g}) {mean('adversarial', 'top1'):.0%} of the points ({show.link('bp-s')}).",
        f"Ratio of the signal's entry to the others: {ratios} ({show.link('bp-n', 'table')}). Every point is right up to linf: {held} ({show.link('bp-f6')}).",
        f"{verdicts.in_short(run.notebook, run.rows)} ({show.link('bp-claims', 'verdicts')})",
        f"Not run here: {' and '.join(missing) or 'nothing'}. {width:,} units where the paper has 25,000, and {epochs:,} of its 4,000 epochs, which make {share:.0%} of the sum of its steps.",
    ],
)

# %% [markdown]
# ## What differs from the paper, and what it left out
#
# Setting by setting. Where one is a parameter of this chapter, its values in the profiles stand below it. The same for all chapters: {doc}`../book/fidelity`.

# %%
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
# ```{exercise} The noise of a batch
# :label: bp-ex-noise
# A batch of $B$ points holds a given point $B/2d$ times on average. By how much does that count vary, and how large is this next to its mean for $B = 250$ and $d = 10$?
# ```
#
# ```{solution} bp-ex-noise
# :class: dropdown
# Drawn without replacement from many, the count is nearly Poisson: mean 12.5, standard deviation 3.5, more than a quarter of the mean. The gradient of each unit is a sum over these counts, so a step has the noise of a 28 % error in the weights of the points.
# Whether that moves the map is another question: the errors of successive steps average out. Compare `-p batch_size=50` and BP-B.
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
