# %% [markdown]
# # Workbook: feature leakage
#
# Images of two blocks: one shows a digit that decides the label, the other the same patch in every image. If gradients mark what a net uses, they should leave the patch alone. At the end of this workbook you will have measured whether they do, painted a net's map without touching its decisions, and built a net that leaks nothing.
#
# About 55 minutes. The chapter is [Feature leakage](../book/notebooks/feature_leakage.html). Pixels lie in $[0, 1]$, the coordinates of the toy in $[-1, 1]$.
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell, save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
seed: int = 0  # of the nets
d: int = 10  # coordinates of the toy
largest: float = 0.041  # fraction of the toy's points at which the signal has the largest gradient
smallest: float = 0.562  # fraction at which it has the smallest one

# %%
import torch
from torch import nn

from companion import data, metrics, plots, store
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, part


def trained(top):
    shown = {"of": "mnist_small", "classes": (0, 1), "patch": "crossed", "top": top}
    of = part("block_mnist", **shown, n_train=None, n_test=None)
    model = part("mlp", in_channels=2, size=28, hidden=(128, 128))
    how = {"optimiser": part("Adam", lr=0.001), "epochs": 6, "batch_size": 50, "seed": seed}
    return store.images(of, "cpu"), store.get(Recipe(data=of, model=model, **how))


images, net = trained(top=False)  # the digit is above or below
images_top, net_top = trained(top=True)  # the digit is always above
x, null = images.x_test[:100], ~data.block_mnist.signal_mask(images.x_test[:100])
x_top, null_top = images_top.x_test[:100], ~data.block_mnist.signal_mask(images_top.x_test[:100])
for name, of, chosen in (("above or below", net, images), ("always above", net_top, images_top)):
    print(f"digit {name}: right on {100 * metrics.fraction_correct(of, chosen):.1f} %")

# %% [markdown]
# `x` are images (100, 1, 56, 28), `null` says which of their pixels lie in the block that says nothing. The same for `x_top` and `null_top`, where that is always the lower block.

# %% [markdown] tags=["exercise"]
# ## mass: how much of the gradient lies where nothing is?
#
# *12 minutes.* Let $g$ be the gradient of the predicted class's *lead*, its logit minus the next largest one. The mass on the null block is $\sum_{\text{null}} |g_j| \,/ \sum_j |g_j|$, for each image.
#
# Write `null_share(net, x, null)`, which returns it for every image, (N,), without `metrics.lead_gradient` and `metrics.mass_on`. The net may have more than two classes.

# %% tags=["stub"]
# exercise mass
def null_share(net, x, null):
    """Share of |gradient of the lead| on the null block of every image: (N,), in [0, 1]."""
    ...

# %% tags=["solution"]
# exercise mass
def null_share(net, x, null):
    """Share of |gradient of the lead| on the null block of every image: (N,), in [0, 1]."""
    x = x.clone().requires_grad_()
    two = net(x).topk(2, dim=1).values
    lead = two[:, 0] - two[:, 1]
    size = torch.autograd.grad(lead.sum(), x)[0].abs()
    return (size * null).flatten(1).sum(1) / size.flatten(1).sum(1)

# %% tags=["wrong"]
# exercise mass
def null_share(net, x, null):
    x = x.clone().requires_grad_()
    logit = net(x).amax(1)  # one logit, not the lead
    size = torch.autograd.grad(logit.sum(), x)[0].abs()
    return (size * null).flatten(1).sum(1) / size.flatten(1).sum(1)

# %% tags=["wrong"]
# exercise mass
def null_share(net, x, null):
    x = x.clone().requires_grad_()
    two = net(x).topk(2, dim=1).values
    g = torch.autograd.grad((two[:, 0] - two[:, 1]).sum(), x)[0]  # signed: values cancel
    return (g * null).flatten(1).sum(1) / g.flatten(1).sum(1)

# %% tags=["wrong"]
# exercise mass
def null_share(net, x, null):
    x = x.clone().requires_grad_()
    logits = net(x)
    lead = logits[:, 1] - logits[:, 0]  # right for two classes only
    size = torch.autograd.grad(lead.sum(), x)[0].abs()
    return (size * null).flatten(1).sum(1) / size.flatten(1).sum(1)

# %% tags=["wrong"]
# exercise mass
def null_share(net, x, null):
    x = x.clone().requires_grad_()
    two = net(x).topk(2, dim=1).values
    size = torch.autograd.grad((two[:, 0] - two[:, 1]).sum(), x)[0].abs()
    return size[null].sum() / size.sum()  # one number for all images

# %% tags=["check"]
# check mass
class _Shifted(nn.Module):
    """A net's logits, each plus the same function of the image: its decisions are the net's."""

    def forward(self, x):
        return net(x) + 5 * x[:, :, :28].sum((1, 2, 3))[:, None]


def _share(net, x, null):
    return metrics.mass_on(metrics.lead_gradient(net, x), null)


_found = null_share(net, x.clone(), null.clone())
assert torch.is_tensor(_found) and _found.shape == (len(x),), (
    "return one number for each image, (N,)"
)
assert ((_found >= -1e-6) & (_found <= 1 + 1e-6)).all(), (
    "a share lies between 0 and 1: take absolute values before anything is added up"
)
_moved = null_share(_Shifted(), x.clone(), null.clone())
assert (_moved - _found).abs().max() < 0.01, (
    "adding the same function to all logits changes no decision, but your share: which gradient "
    "is it of?"
)
assert (_found - _share(net, x, null)).abs().max() < 0.005, "wrong for the net of the set-up"
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(seed)
    _three = nn.Sequential(nn.Flatten(), nn.Linear(1568, 16), nn.Tanh(), nn.Linear(16, 3))
_gap = (null_share(_three, x.clone(), null.clone()) - _share(_three, x, null)).abs().max()
assert _gap < 0.005, (
    "wrong for a net of three classes: which is predicted, and which is next, image by image?"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The gradient is that of one logit; signs are kept; one ratio is formed over all images together, so that images with large gradients count most.
#
# **Ask next.** Does the mean of this number say where the net looks? What would a net have that looks at nothing in particular? (One half.)

# %% [markdown]
# **Predict.** Both nets have just told how often they are right. Which part of its |gradient| lies on the block that says nothing, on average, in per cent: where the digit is above or below, and where it is always above?

# %% tags=["stub"]
# predict share
prediction = ...  # two numbers, such as (10, 10)

# %% tags=["solution"]
# predict share
prediction = (10, 10)

# %%
def picture():
    above = int(null[:, 0, 0, 0].int().argmin())  # the first image whose digit is above
    below = int(null[:, 0, 0, 0].int().argmax())
    maps, maps_top = metrics.lead_gradient(net, x), metrics.lead_gradient(net_top, x_top)
    rows = [("image", [x[above], x[below], *x_top[:2]])]
    rows += [("gradient", [maps[above], maps[below], *maps_top[:2]])]
    both = (maps, null), (maps_top, null_top)
    varied, fixed = (100 * metrics.mass_on(of, where).mean() for of, where in both)
    finding = (
        f"Mean share of |g| on the null block: digit above or below {varied:.0f} %, always above "
        f"{fixed:.0f} %. Each map is on its own scale."
    )
    columns = ["above", "below", "always", "above"]
    fig = plots.gallery(rows, columns=columns, pixels="first row", cell=1.3)
    told = "Images and gradients of both nets."
    return plots.show(fig, alt=told, finding=finding, width="26rem")


# %%
reveal(prediction, picture)

# %% [markdown] tags=["exercise"]
# ## linear: how well can a linear net do?
#
# *6 minutes.* Take any *linear* net, trained or not, and two images: in one the digit is above, in the other below. What is the mean of its two masses on the null block?
#
# Answer: `linear`, a number in $[0, 1]$, right to 0.01. Think before you compute.

# %% tags=["stub"]
# exercise linear
linear = ...

# %% tags=["solution"]
# exercise linear
linear = 0.5

# %% tags=["wrong"]
# exercise linear
linear = 0.0  # a good net uses the digit alone

# %% tags=["wrong"]
# exercise linear
linear = 0.25

# %% tags=["wrong"]
# exercise linear
linear = 1.0

# %% tags=["check"]
# check linear
with torch.random.fork_rng(devices=[]):
    torch.manual_seed(seed)
    _net = nn.Sequential(nn.Flatten(), nn.Linear(1568, 2))
_below = null[:, 0, 0, 0]
_pair = torch.stack([x[_below][0], x[~_below][0]])
_masses = metrics.mass_on(
    metrics.lead_gradient(_net, _pair), torch.stack([null[_below][0], null[~_below][0]])
)
assert abs(float(linear) - _masses.mean().item()) < 0.01, (
    "how does the gradient of a linear net depend on the image? Add the shares of the upper and "
    "the lower block"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** A good net is thought to have a good map. But the gradient of a linear net is the same at every image: what it has above is on the digit in one image and on the patch in the other, and the two shares add up to 1.
#
# **Ask next.** So is one half the worst a net can do? Is a little less than one half much better? Which net could have 0 on these images? (One that changes its gradient with the place of the digit, as in the last exercise but one.)

# %% [markdown] tags=["exercise"]
# ## paint: the same decisions, another map
#
# *12 minutes.* Many show the gradient of the predicted class's *logit*. Take a net and make another one from it, with the same decisions and the same probabilities, whose logit gradient lies where you want it: at least 90 % of its absolute values on the pixels `where` (1, 56, 28), at every image.
#
# Write `paint(net, where)`, which returns an `nn.Module`, or any function of images, that gives logits.

# %% tags=["stub"]
# exercise paint
def paint(net, where):
    """A net with the decisions and probabilities of `net` whose logit gradient lies on `where`."""
    ...

# %% tags=["solution"]
# exercise paint
def paint(net, where):
    """A net with the decisions and probabilities of `net` whose logit gradient lies on `where`."""

    def painted(x):
        return net(x) + 100 * (x * where).sum((1, 2, 3))[:, None]  # the same for every class

    return painted

# %% tags=["wrong"]
# exercise paint
def paint(net, where):
    def painted(x):
        extra = 100 * (x * where).sum((1, 2, 3))
        return net(x) + torch.stack([torch.zeros_like(extra), extra], 1)  # to one class only

    return painted

# %% tags=["wrong"]
# exercise paint
def paint(net, where):
    return lambda x: net(x * where)  # looks elsewhere, and decides otherwise

# %% tags=["wrong"]
# exercise paint
def paint(net, where):
    return lambda x: net(x) + 100 * where.sum()  # a constant has no gradient

# %% tags=["check"]
# check paint
_where = torch.zeros(1, 56, 28, dtype=torch.bool)
for _rows in (slice(28, None), slice(0, 14)):
    _here = torch.zeros_like(_where)
    _here[:, _rows] = True
    _painted = paint(net, _here.clone())
    _point = x.clone().requires_grad_()
    _logits = _painted(_point)
    with torch.no_grad():
        _before = net(x)
    assert _logits.shape == _before.shape, "the new net has to return logits of the same shape"
    assert _logits.argmax(1).equal(_before.argmax(1)), (
        "a decision has changed: what may one add to all logits?"
    )
    assert (_logits.softmax(1) - _before.softmax(1)).abs().max() < 0.02, (
        "the probabilities have changed. If you added the same to both logits, it may be so "
        "large that rounding shows"
    )
    _g = torch.autograd.grad(_logits.amax(1).sum(), _point)[0]
    _shares = metrics.mass_on(_g, _here)
    assert _shares.min() >= 0.9, (
        f"at one image only {_shares.min():.0%} of |gradient of the logit| lies there: the "
        "gradient of what you add has to outweigh that of the net"
    )

# %% [markdown] tags=["instructor"]
# **What goes wrong.** Something is added to one logit only, which changes decisions; or a constant is, which has no gradient; or so much that single precision loses the lead.
#
# **Ask next.** Training does not choose what all logits share. What does a picture of a logit's gradient then show? Which maps are safe? (That of the lead, and of the cross-entropy.)

# %% [markdown] tags=["exercise"]
# ## readings: two numbers for one map
#
# *5 minutes.* The *energy* on the null block has $g_j^2$ in place of $|g_j|$. Do the two say the same? Draw a map, of which the lower block is the null block: at least half of its $|g|$ lies there, and at most 5 % of its $g^2$.
#
# Answer: `drawn`, a tensor (1, 56, 28).

# %% tags=["stub"]
# exercise readings
drawn = ...

# %% tags=["solution"]
# exercise readings
drawn = torch.zeros(1, 56, 28)
drawn[:, 28:] = 1.0  # many small entries
drawn[:, 14, 4:24] = 28 * 28 / 20  # a few large ones, which sum to as much

# %% tags=["wrong"]
# exercise readings
drawn = torch.ones(1, 56, 28)

# %% tags=["wrong"]
# exercise readings
drawn = torch.zeros(1, 56, 28)
drawn[:, 28:] = 1.0
drawn[:, :28] = 10.0

# %% tags=["wrong"]
# exercise readings
drawn = torch.zeros(1, 56, 28)
drawn[:, :28] = 1.0  # few and large on the wrong block
drawn[:, 42, 4:24] = 40.0

# %% tags=["check"]
# check readings
assert torch.is_tensor(drawn) and drawn.shape == (1, 56, 28), "draw a tensor (1, 56, 28)"
_lower = torch.zeros(1, 1, 56, 28, dtype=torch.bool)
_lower[:, :, 28:] = True
_map = drawn[None].double()
_mass, _energy = (metrics.mass_on(of, _lower).item() for of in (_map, _map.square()))
assert _mass >= 0.5 - 1e-6, f"only {_mass:.0%} of |g| lies on the lower block"
assert _energy <= 0.05, (
    f"{_energy:.0%} of the squares lie on the lower block: few large entries outweigh many small "
    "ones"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** Everything is made larger above, which moves both numbers. What matters is that the entries below are many and small.
#
# **Ask next.** Which of the two is nearer to what an eye sees in a map on its own scale? Which one would you have chosen before you saw the result, and does the chapter's answer depend on it?

# %% [markdown] tags=["exercise"]
# ## honest: a net that does not leak
#
# *15 minutes.* The toy: $x = y\,e_j$ in $d$ coordinates, zero but for one, which is the label $y = \pm1$. Write `honest(v)` for points v (N, d): one number for each, (N,), above 0 for $y = 1$ and below 0 for $y = -1$. At each of the 2d points its gradient has to be zero everywhere but at the point's own coordinate, and it has to stay right if *every* coordinate is moved by up to 0.45.
#
# Build it of `torch.relu`, or of anything else with a gradient.

# %% tags=["stub"]
# exercise honest
def honest(v):
    """One number for each point v (N, d): the sign of its label, a gradient at its own place."""
    ...

# %% tags=["solution"]
# exercise honest
def honest(v):
    """One number for each point v (N, d): the sign of its label, a gradient at its own place."""
    return (torch.relu(v - 0.5) - torch.relu(-v - 0.5)).sum(
        1
    )  # a unit is silent around the other points

# %% tags=["wrong"]
# exercise honest
def honest(v):
    return v.sum(1)  # linear

# %% tags=["wrong"]
# exercise honest
def honest(v):
    return (torch.relu(v) - torch.relu(-v)).sum(
        1
    )  # a unit for each point, but linear all the same

# %% tags=["wrong"]
# exercise honest
def honest(v):
    return v.pow(3).sum(1)  # an honest gradient at the points, but many small moves add up

# %% tags=["wrong"]
# exercise honest
def honest(v):
    return v.gather(1, v.abs().argmax(1, keepdim=True)).squeeze(1).sign()  # a sign has no gradient

# %% tags=["check"]
# check honest
_one = torch.eye(d)
_v, _label = torch.cat([_one, -_one]).requires_grad_(), torch.cat([torch.ones(d), -torch.ones(d)])
_out = honest(_v)
assert torch.is_tensor(_out) and _out.shape == (2 * d,), "return one number for each point, (N,)"
assert (_out * _label > 0).all(), "it is wrong at some of the points themselves"
assert _out.requires_grad, "the result has no gradient"
_g = torch.autograd.grad(_out.sum(), _v)[0]
_own = (_g * _v.detach()).abs().sum(1)
assert (_own > 1e-6).all(), "at some point the gradient is zero at the signal, too"
_other = (_g.abs() * (1 - _v.detach().abs())).amax(1)
assert (_other <= 1e-3 * _own).all(), (
    "the gradient marks other coordinates: what makes a unit for one coordinate silent near the "
    "other points?"
)
_generator = torch.Generator().manual_seed(seed)
_moves = torch.rand(200, 1, d, generator=_generator).sub(0.5).sign() * 0.45
_moves = torch.cat([_moves, torch.full((1, 1, d), 0.45), torch.full((1, 1, d), -0.45)])
_moved = (_v.detach() + _moves).flatten(0, 1)
_right = honest(_moved).view(-1, 2 * d) * _label > 0
assert _right.all(), (
    "moving all coordinates by 0.45 changes a decision: small values must not add up"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** One unit for each point, $\mathrm{relu}(v_j) - \mathrm{relu}(-v_j)$, looks honest and is the linear function $\sum_j v_j$. It takes a bias: a unit must be silent *around* the other points. Odd powers are honest at the points; only high ones are robust.
#
# **Ask next.** Shah et al. prove that the net of the largest margin leaks. What does this one pay? (Its margin, for weights of given size, is smaller by a factor of order $\sqrt d$.) And why does adversarial training find it?

# %% [markdown] tags=["exercise"]
# ## diffroar: what is a wrong order worth?
#
# *8 minutes.* In the toy a map ranks the $d$ coordinates of every point. The signal comes first at a fraction `largest` of the points and last at a fraction `smallest` (set above as Shah et al. print them for a trained net). Now a retrained net sees only the *first* coordinate of each point, and zeros elsewhere; another one only the *last*. Each gets as many points right as anyone could. What is
#
# $$
# \mathrm{DiffROAR} = \text{accuracy with the first} - \text{accuracy with the last}\,?
# $$
#
# Answer: `diffroar`, in percentage points with its sign, right to 0.5. Labels are equally likely, and `largest` and `smallest` are the same for both.

# %% tags=["stub"]
# exercise diffroar
diffroar = ...

# %% tags=["solution"]
# exercise diffroar
# where the signal is not shown, all is zero and a guess is right half of the time
diffroar = 100 * ((largest + (1 - largest) / 2) - (smallest + (1 - smallest) / 2))

# %% tags=["wrong"]
# exercise diffroar
diffroar = 100 * (largest - smallest)  # as if every other point were lost

# %% tags=["wrong"]
# exercise diffroar
diffroar = 100 * (smallest - largest) / 2

# %% tags=["wrong"]
# exercise diffroar
diffroar = 100 * (largest - 0.5)

# %% tags=["check"]
# check diffroar
_right = 50 * (largest - smallest)
_given = float(diffroar)
if abs(_given - _right) > 0.5:
    assert abs(_given - 2 * _right) > 0.5, "where the signal is not shown a net can still guess"
    assert abs(_given + _right) > 0.5, "the sign: first minus last"
    raise AssertionError(
        "what does a net see at a point whose signal is hidden, and how often is it then right?"
    )

# %% [markdown] tags=["instructor"]
# **What goes wrong.** A net without the signal is thought to be always wrong. It guesses, so only half of the difference is left.
#
# **Ask next.** What is DiffROAR of a random order? (Signal first and last equally often: 0.) And of a map with the same value everywhere, ties broken at random? (0 too: a net that leaks perfectly cannot be told from a map that knows nothing.)
