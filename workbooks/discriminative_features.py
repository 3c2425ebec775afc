# %% [markdown]
# # Workbook: discriminative features
#
# A toy in which the label stands in one coordinate of each point, and nets whose gradients mark the others as well. At the end of this workbook you will have derived such a net's gradient and its breaking point by hand, measured what stands out in a trained net's map, made a loss gradient vanish without helping anybody, and found a training that puts the largest entry where the signal is.
#
# About 60 minutes. The chapter is [Discriminative features](../book/notebooks/discriminative_features.html). Coordinates lie in $[-1, 1]$ unless it is said otherwise.
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell, save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
seed: int = 0  # of the nets and of the points they are trained on
d: int = 10  # coordinates of the toy; the last exercise is made for 10
own: int = (
    2  # the first exercise asks for the point -e with its entry at this place, counted from 0
)

# %%
from dataclasses import replace

import torch

from companion import attacks, experiment, losses, metrics, models, plots
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, minibatches, part

points = metrics.toy_points(d)  # all 2d points y e_j, in pixels (x + 1) / 2
x, y, signal = points
EPOCHS = 50
recipe = Recipe(
    data=part("one_hot_blocks", relevant=d, n_train=10_000, split_seed=seed),
    model=part("one_hidden", width=200, init="torch"),
    loss=part("penalised"),
    optimiser=part("SGD", lr=0.1),
    schedule="constant",
    epochs=EPOCHS,
    batch_size=250,
    seed=seed,
)


def trained(recipe):
    steps = experiment.paper_steps(EPOCHS, a_epoch=40, lr=0.1)
    return minibatches.train([recipe], steps)[0].net


net = trained(recipe)
scores = metrics.toy_scores(net, d)
print(f"right at {scores['clean_accuracy']:.0f} % of the {2 * d} points")

# %% [markdown] tags=["exercise"]
# ## entries: the gradient of a leaking net, by hand
#
# *8 minutes.* With $s = 1/\sqrt{d+1}$ and $u = (1, \dots, 1)$ the net of the largest margin on the toy is
#
# $$
# f(x) = \tfrac s2\bigl(1 + \langle u, x\rangle\bigr)_+ - \tfrac s2\bigl(1 - \langle u, x\rangle\bigr)_+ ,
# $$
#
# above 0 for the label $y = 1$. Which $d$ entries has the gradient of $y f$, the lead of the true class, at the point $-e$ whose only entry stands at the place `own`? A unit that is exactly at its hinge counts as not active.
#
# Answer: `entries`, a list of d numbers, each right to one per cent.

# %% tags=["stub"]
# exercise entries
entries = ...

# %% tags=["solution"]
# exercise entries
# <u, x> = -1: the first unit is at its hinge, the second active; y = -1
entries = [-((d + 1) ** -0.5) / 2] * d

# %% tags=["wrong"]
# exercise entries
entries = [0.0] * d
entries[own] = -((d + 1) ** -0.5) / 2  # where the signal is

# %% tags=["wrong"]
# exercise entries
entries = [(d + 1) ** -0.5 / 2] * d  # of f, not of y f

# %% tags=["wrong"]
# exercise entries
entries = [-((d + 1) ** -0.5)] * d  # both units active

# %% tags=["check"]
# check entries
_right = metrics.toy_gradient(models.leaking_net(d), d)[d + own]
_given = torch.as_tensor([float(entry) for entry in entries], dtype=torch.float64)
assert len(_given) == d, f"{d} numbers are asked for, one for each coordinate"
_given = _given / _right.abs().max()
_right = _right / _right.abs().max()
assert (_given != 0).all(), (
    "x enters f through <u, x> alone: how can one entry of the gradient differ from another?"
)
assert (_given - _right.abs()).abs().max() > 0.01, "the sign: the label of this point is -1"
assert (_given - 2 * _right).abs().max() > 0.01, "which of the two units is active at this point?"
assert (_given - _right).abs().max() < 0.01, (
    "one unit is active: what is its slope along a coordinate?"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The entry at the signal alone is given: that is what one expects of a gradient, and the point of the exercise is that $f$ sees $x$ only through its sum. Then the sign of the label, and the hinge.
#
# **Ask next.** Write down a net on these points whose gradient does have one entry. (The workbook on feature leakage does.)

# %% [markdown] tags=["exercise"]
# ## scores: what does "stand out" mean?
#
# *10 minutes.* A signal can stand out by being the largest entry, or the smallest. Write `stands_out(g, signal)` for maps g (N, d) and `signal` (N, d), true at one entry of each row. It returns three numbers, each the mean over the rows:
#
# - top1: 1 where the largest $|g|$ is at the signal, else 0,
# - bottom1: 1 where the smallest is,
# - ratio: $|g|$ at the signal over the mean $|g|$ of the row's *other* entries.
#
# Write it without the functions of `metrics`.

# %% tags=["stub"]
# exercise scores
def stands_out(g, signal):
    """top1, bottom1 and ratio of maps (N, d); signal (N, d) is true at one entry of each row."""
    ...

# %% tags=["solution"]
# exercise scores
def stands_out(g, signal):
    """top1, bottom1 and ratio of maps (N, d); signal (N, d) is true at one entry of each row."""
    size, place = g.abs(), signal.int().argmax(1)
    top1 = (size.argmax(1) == place).double().mean()
    bottom1 = (size.argmin(1) == place).double().mean()
    others = size[~signal].view(len(size), -1).mean(1)
    return top1.item(), bottom1.item(), (size[signal] / others).mean().item()

# %% tags=["wrong"]
# exercise scores
def stands_out(g, signal):
    place = signal.int().argmax(1)
    top1 = (g.argmax(1) == place).double().mean()  # signed
    bottom1 = (g.argmin(1) == place).double().mean()
    others = g[~signal].view(len(g), -1).abs().mean(1)
    return top1.item(), bottom1.item(), (g[signal].abs() / others).mean().item()

# %% tags=["wrong"]
# exercise scores
def stands_out(g, signal):
    size, place = g.abs(), signal.int().argmax(1)
    top1 = (size.argmax(1) == place).double().mean().item()
    others = size[~signal].view(len(size), -1).mean(1)
    return (
        top1,
        1 - top1,
        (size[signal] / others).mean().item(),
    )  # not the largest, so the smallest

# %% tags=["wrong"]
# exercise scores
def stands_out(g, signal):
    size, place = g.abs(), signal.int().argmax(1)
    top1 = (size.argmax(1) == place).double().mean()
    bottom1 = (size.argmin(1) == place).double().mean()
    ratio = (size[signal] / size.mean(1)).mean()  # the signal is among the others
    return top1.item(), bottom1.item(), ratio.item()

# %% tags=["check"]
# check scores
_generator = torch.Generator().manual_seed(seed)
_maps = [torch.randn(2 * d, d, generator=_generator), metrics.toy_gradient(net, d).detach()]
_maps[0][: d // 2] += 5 * signal[: d // 2]
for _g in _maps:
    _found = [float(value) for value in stands_out(_g.clone(), signal.clone())]
    assert len(_found) == 3, "return three numbers: top1, bottom1, ratio"
    _of = metrics.top1(_g, signal), metrics.bottom1(_g, signal), metrics.ratio(_g, signal)
    _right = [value.double().mean().item() for value in _of]
    _told = "is wrong: large means far from zero, and an order has more than two places"
    assert abs(_found[0] - _right[0]) < 1e-4, f"top1 {_told}"
    assert abs(_found[1] - _right[1]) < 1e-4, f"bottom1 {_told}"
    assert abs(_found[2] / _right[2] - 1) < 1e-3, (
        "the ratio is wrong: row by row, the signal over the mean of the entries that are not "
        "the signal"
    )

# %% [markdown] tags=["instructor"]
# **What goes wrong.** Signs are kept; bottom1 is taken for 1 − top1; the mean of the others includes the signal, which draws the ratio towards 1.
#
# **Ask next.** What have maps that know nothing? ($1/d$, $1/d$ and 1.) Which of the three can tell a dip from a peak, and which would a picture on a scale from 0.8 to 1 show?

# %% [markdown]
# **Predict.** The net of the set-up is trained without any penalty and is right at all points. At which fraction of the points is the signal the *largest* entry of its gradient, and at which the *smallest*? A map that knows nothing has `1 / d` for either.

# %% tags=["stub"]
# predict marked
prediction = ...  # two numbers in [0, 1], such as (0.1, 0.1)

# %% tags=["solution"]
# predict marked
prediction = (1.0, 0.0)

# %%
def picture():
    told = f"largest at {scores['top1']:.2f} of the points, smallest at {scores['bottom1']:.2f}"
    finding = f"|g| over the row's largest entry; a dot marks the signal. It is the {told}."
    fig = plots.toy_heat({"trained net": metrics.toy_gradient(net, d).detach()}, signal)
    return plots.show(fig, alt="Gradients at all points.", finding=finding, width="22rem")

# %%
reveal(prediction, picture)

# %% [markdown] tags=["exercise"]
# ## quiet: make the loss gradient vanish
#
# *10 minutes.* A penalty on $\lVert\nabla_x \ell\rVert$, the gradient of the cross-entropy, is meant to make a net calmer. Show how a net can obey it at no cost. From any net that is right at all points make another one with the same decisions and *no larger loss*, whose loss gradient has at most a thousandth of the l1 norm, on average over the points.
#
# Write `quiet(net)`, which returns an `nn.Module` or any function from points to logits. Do not train.

# %% tags=["stub"]
# exercise quiet
def quiet(net):
    """A net with the same decisions, no larger loss and a thousandth of the loss gradient."""
    ...

# %% tags=["solution"]
# exercise quiet
def quiet(net):
    """A net with the same decisions, no larger loss and a thousandth of the loss gradient."""
    return lambda x: 20 * net(x)  # more confident

# %% tags=["wrong"]
# exercise quiet
def quiet(net):
    return lambda x: net(x) / 10_000  # flatter, and unsure: the loss rises

# %% tags=["wrong"]
# exercise quiet
def quiet(net):
    return lambda x: net(x) + 100  # a softmax does not see it

# %% tags=["wrong"]
# exercise quiet
def quiet(net):
    return lambda x: net(x).clamp(-1, 1)  # cuts the gradient off, and the margin

# %% tags=["check"]
# check quiet
def _measured(of):
    point = x.clone().requires_grad_()
    logits = of(point)
    assert logits.requires_grad, "the logits no longer depend on the points"
    loss = losses.cross_entropy(of, point, y)
    g = torch.autograd.grad(loss, point)[0]
    lead = (logits[:, 1] - logits[:, 0]).abs().mean()
    return logits.argmax(1), loss.item(), g.flatten(1).abs().sum(1).mean().item(), lead.item()


_decided, _loss, _size, _lead = _measured(net)
_new = _measured(quiet(net))
assert _new[0].equal(_decided), "a decision has changed"
assert _new[1] <= _loss, (
    f"the loss rose from {_loss:.3g} to {_new[1]:.3g}: a flatter net is less sure. Which factor "
    "of the loss gradient can fall while the net becomes more sure?"
)
assert _new[2] <= _size / 1000, (
    "the loss gradient is not a thousandth yet: write it as a factor times the gradient of the "
    "lead"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The logits are divided. That flattens the net, but the loss rises, and with small factors the loss gradient even grows at first.
#
# $\nabla_x \ell = -(1 - p_y)\,\nabla_x(z_y - z_{\bar y})$: the logits become 20 times steeper and the first factor $e^{-20 \cdot \text{lead}}$ smaller. Not one decision under attack has changed.
#
# **Ask next.** Which penalty cannot be obeyed like this? (One on the gradient of the lead at a given lead.) Why does the chapter ask every claim over a grid of λ?

# %% [markdown] tags=["exercise"]
# ## worst: an adversary in one line
#
# *8 minutes.* Near a point a net's lead is $m + \langle g, \delta\rangle$. How low can an adversary bring it, if δ lies in a ball of radius ε? Write `worst(g, eps, norm)`: the least $\langle g, \delta\rangle$ over $\lVert\delta\rVert \le$ eps, for every gradient of g (N, d), as (N,). `norm` is "l1", "l2" or "linf", the norm of δ.

# %% tags=["stub"]
# exercise worst
def worst(g, eps, norm):
    """The least <g, delta> over the ball of radius eps, for every row of g (N, d): (N,)."""
    ...

# %% tags=["solution"]
# exercise worst
def worst(g, eps, norm):
    """The least <g, delta> over the ball of radius eps, for every row of g (N, d): (N,)."""
    dual = {"l1": float("inf"), "l2": 2, "linf": 1}
    return -eps * torch.linalg.vector_norm(g, ord=dual[norm], dim=1)

# %% tags=["wrong"]
# exercise worst
def worst(g, eps, norm):
    same = {"l1": 1, "l2": 2, "linf": float("inf")}  # the norm of delta, not its dual
    return -eps * torch.linalg.vector_norm(g, ord=same[norm], dim=1)

# %% tags=["wrong"]
# exercise worst
def worst(g, eps, norm):
    dual = {"l1": float("inf"), "l2": 2, "linf": 1}
    return eps * torch.linalg.vector_norm(g, ord=dual[norm], dim=1)  # the highest

# %% tags=["wrong"]
# exercise worst
def worst(g, eps, norm):
    return -eps * g.norm(dim=1)  # right in l2 alone

# %% tags=["check"]
# check worst
_g = torch.randn(5, d, generator=torch.Generator().manual_seed(seed))
_largest = _g.abs().argmax(1, keepdim=True)
_best = {
    "linf": -_g.sign(),
    "l2": -_g / _g.norm(dim=1, keepdim=True),
    "l1": torch.zeros_like(_g).scatter(1, _largest, -_g.gather(1, _largest).sign()),
}
for _norm, _delta in _best.items():
    _found, _reached = worst(_g.clone(), 0.3, _norm), (_g * 0.3 * _delta).sum(1)
    assert torch.is_tensor(_found) and _found.shape == (5,), "return one number for each row, (N,)"
    assert (_found <= 0).all(), (
        "the adversary wants the lead to fall: the least value is not above 0"
    )
    assert (_found - _reached).max() < 1e-4, (
        f"{_norm}: there is a delta in the ball that does more harm"
    )
    assert (_found - _reached).abs().max() < 1e-4, (
        f"{_norm}: no delta in the ball does so much harm: which delta would it be?"
    )

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The norm of δ is used for g. In linf every coordinate moves by ε, so all entries of g count: the *l1* norm. In l1 all of ε goes into one coordinate: the largest entry.
#
# **Ask next.** Two gradients have the same entry $m$ at the signal; one has nothing else, the other $m$ everywhere. How do they differ in l1, l2 and linf? (Not at all; by $\sqrt d$; by $d$.)

# %% [markdown] tags=["exercise"]
# ## radius: where does the leaking net break?
#
# *6 minutes.* At every point $y\,e_j$ the net of the first exercise has a lead of $s$, and moved against its label it falls with the slope $s$ along *each* coordinate, since between the points both units are active. Up to which linf radius is it right at all points?
#
# Answer: `radius`, a number for coordinates in $[-1, 1]$, right to one per cent.

# %% tags=["stub"]
# exercise radius
radius = ...

# %% tags=["solution"]
# exercise radius
radius = 1 / d  # the lead s falls by d times s times the radius

# %% tags=["wrong"]
# exercise radius
radius = 0.5  # halfway to the other class

# %% tags=["wrong"]
# exercise radius
radius = d**-0.5  # in l2

# %% tags=["wrong"]
# exercise radius
radius = 1.0  # as if one coordinate moved

# %% tags=["check"]
# check radius
_leaking, _given = models.leaking_net(d), float(radius)
assert 0 < _given <= 1, "a radius for coordinates in [-1, 1] lies between 0 and 1"


def _right_at(eps):
    ball = {
        "norm": "linf",
        "eps": eps / 2,
        "steps": 12,
        "restarts": 1,
    }  # half, for pixels in [0, 1]
    generator = torch.Generator().manual_seed(seed)
    return attacks.evaluate(_leaking, x.double(), y, **ball, generator=generator).worst


assert _right_at(0.985 * _given) == 1, (
    f"attacked with less than {_given:.3g} the net is wrong: all coordinates move at once. What "
    "does each take away?"
)
assert _right_at(1.015 * _given) == 0, (
    f"attacked with more than {_given:.3g} the net is still right"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** One half, as for the points themselves, or the radius of l2. The check attacks the net a little below and a little above the answer.
#
# **Ask next.** What does that say of every curve of accuracy against the linf radius whose net leaks? (It breaks near $1/d$, at all points at once. A plateau at 50 % beyond is a sign of an attack that is stuck.) Which radius is possible? (One half.)

# %% [markdown] tags=["exercise"]
# ## repair: train a net that marks the signal
#
# *15 minutes.* The paper recommends a squared l2 penalty on the weights. Find a training after which the signal is the largest entry at nine points of ten or more (top1), at least twice as large as the others (ratio), and the net is right at all points.
#
# Answer: `repaired`, a recipe made from `recipe` by `replace`, with another `loss` or other `inputs`; everything else stays. Try it with `metrics.toy_scores(trained(repaired), d)`, which takes a second or two. Some places to start:
#
# ```python
# part("penalised", weight_norm="l2", weight_squared=True, lambda_w=0.001)
# part("penalised", gradient_norm="l1", lambda_g=0.1)
# part("adversarial", norm="linf", eps=0.05, steps=8, step_size=0.0125, protocol="br_paper")
# ```
#
# The first two are a `loss`, the last is for `inputs`; its radius is for pixels in $[0, 1]$, half of that in $[-1, 1]$.

# %% tags=["stub"]
# exercise repair
repaired = ...

# %% tags=["solution"]
# exercise repair
adversary = {"norm": "linf", "eps": 0.1, "steps": 8, "step_size": 0.025, "protocol": "br_paper"}
repaired = replace(recipe, inputs=part("adversarial", **adversary))

# %% tags=["wrong"]
# exercise repair
squared = {"weight_norm": "l2", "weight_squared": True}
repaired = replace(recipe, loss=part("penalised", **squared, lambda_w=0.001))

# %% tags=["wrong"]
# exercise repair
squared = {"weight_norm": "l2", "weight_squared": True}
repaired = replace(recipe, loss=part("penalised", **squared, lambda_w=0.01))  # the uniform map

# %% tags=["wrong"]
# exercise repair
adversary = {"norm": "linf", "eps": 0.025, "steps": 8, "step_size": 0.006, "protocol": "br_paper"}
repaired = replace(
    recipe, inputs=part("adversarial", **adversary)
)  # within 1/d a leaking net is right

# %% tags=["wrong"]
# exercise repair
adversary = {"norm": "linf", "eps": 0.2, "steps": 8, "step_size": 0.05, "protocol": "br_paper"}
repaired = replace(recipe, inputs=part("adversarial", **adversary))  # too strong to begin with

# %% tags=["check"]
# check repair
assert isinstance(repaired, Recipe), (
    "make it from recipe: replace(recipe, loss=...) or replace(recipe, inputs=...)"
)
assert replace(repaired, loss=recipe.loss, inputs=recipe.inputs) == recipe, (
    "only loss and inputs may differ from recipe"
)
_scores = metrics.toy_scores(trained(repaired), d)
_told = (
    f"top1 {_scores['top1']:.2f}, bottom1 {_scores['bottom1']:.2f}, ratio {_scores['ratio']:.2f}"
)
assert _scores["clean_accuracy"] == 100, (
    f"right at only {_scores['clean_accuracy']:.0f} % of the points ({_told}): less of it, or it "
    "does not train"
)
assert _scores["top1"] >= 0.9 and _scores["ratio"] >= 2, (
    f"{_told}. In what does the leaking net fail, and what would make that cost something in "
    "training?"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** Larger and larger penalties on the weights: they end at the uniform map of the leaking net, with ratio 1, as the theorem says. An adversary inside $1/d$ costs a leaking net nothing; one that is too strong does not train within these steps. A squared l2 penalty on the loss gradient with λ about 1 can do it too, less sharply.
#
# **Ask next.** So does the paper's finding fail? The signal does stand out after a weak penalty on the weights: as the *smallest* entry (bottom1). What would its figure, on a scale from 0.8 to 1, look like?
