# %% [markdown]
# # Workbook: boundary tilting
#
# For two Gaussian classes everything can be written down: the best linear classifier, how far it is tilted, what an adversary does to it, and when standing upright is better. At the end of this workbook you will have derived the robust classifier of two Gaussians, measured the tilt of trained nets, and asked what an attack on images has to be compared with before one may say that it leaves the data.
#
# About 60 minutes. The chapter is [Boundary tilting](../book/notebooks/boundary_tilting.html). Coordinates and pixels lie in $[0, 1]$.
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell, save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
seed: int = 0  # draws the points and starts the nets
eps: float = 0.125  # l2 radius of the adversary in the plane
dimensions: int = 10  # principal components of the images
image_eps: float = 6.0  # l2 radius of the attacks on images

# %%
import math

import torch
from torch import nn

from companion import attacks, data, metrics, plots, store
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, part

points = data.toys.gaussians(split_seed=seed)
m = metrics.line_of_means(points.x_train, points.y_train).double()  # mean of class 2 minus class 1
S = metrics.covariance_within(points.x_train, points.y_train)  # of both classes, 2 x 2
print("m =", m.tolist(), "\nS =", S.tolist())

# %%
common = {"optimiser": part("Adam", lr=0.001), "schedule": "constant", "batch_size": 100}
adversary = {"norm": "l2", "eps": eps, "steps": 3, "step_size": 1.0, "loss": "cross_entropy"}
toy = {"data": part("gaussians", n_train=None, split_seed=seed), "epochs": 10}
toy |= {"model": part("one_hidden", width=128), **common, "seed": seed}
standard = store.get(Recipe(**toy))
robust = store.get(Recipe(**toy, inputs=part("adversarial", **adversary, protocol="br_paper")))

# %%
of_images = part("mnist_small", n_train=1000)
images = store.images(of_images, "cpu")
adam = {"optimiser": part("Adam", lr=0.003), "schedule": "constant", "batch_size": 100}
recipe = Recipe(data=of_images, model=part("compact_cnn"), epochs=6, **adam, seed=seed)
net = store.get(recipe)
x, y = images.x_test[:100], images.y_test[:100]
ball = {"norm": "l2", "eps": image_eps, "steps": 15, "step_size": 1.0}
attacked = attacks.pgd(net, x, y, **ball, protocol=attacks.BR_PAPER)

# %% [markdown] tags=["exercise"]
# ## tilt: how far is the best classifier tilted?
#
# *5 minutes.* Without an adversary the linear classifier with the fewest errors has the normal $\Sigma^{-1}m$. At which angle to the line of the means $m$ does it lie?
#
# Answer: `tilt`, a number in degrees, right to half a degree. `m` and `S` hold $m$ and $\Sigma$.

# %% tags=["stub"]
# exercise tilt
tilt = ...

# %% tags=["solution"]
# exercise tilt
n = torch.linalg.solve(S, m)
tilt = math.degrees(math.acos(n @ m / (n.norm() * m.norm())))

# %% tags=["wrong"]
# exercise tilt
n = S @ m
tilt = math.degrees(math.acos(n @ m / (n.norm() * m.norm())))

# %% tags=["wrong"]
# exercise tilt
n = torch.linalg.solve(S, m)
tilt = math.acos(n @ m / (n.norm() * m.norm()))

# %% tags=["wrong"]
# exercise tilt
n = torch.linalg.solve(S, m)
tilt = math.degrees(math.atan2(abs(n[1]), abs(n[0])))

# %% tags=["check"]
# check tilt
_right = metrics.angle(torch.linalg.solve(S, m), m)
_given = float(tilt)
assert abs(_given - math.radians(_right)) > 0.02, "that looks like radians: give degrees"
assert abs(_given - metrics.angle(S @ m, m)) > 0.5, (
    "the normal has the inverse of the covariance in it"
)
assert abs(_given - _right) < 0.5, (
    "use the cosine: the scalar product of the normal and m, over the product of their lengths; "
    "m is not the first axis"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** Most expect an angle near 0: the means differ almost only along the first axis. The covariance is so flat along the second that a small difference there says more. Some measure the angle to the first axis, which is not the line of the means.
#
# **Ask next.** Which covariance gives no tilt at all? ($\Sigma = \sigma^2 I$, or any with $m$ as an eigenvector.)

# %% [markdown] tags=["exercise"]
# ## shrink: the best classifier under attack
#
# *15 minutes.* Let a linear classifier with unit normal $n$ bisect the segment of the means. Under l2 attacks of radius ε its error is
#
# $$
# \Phi\left(-\frac{\tfrac12\langle n, m\rangle - \varepsilon}{\sqrt{n^\top\Sigma\, n}}\right).
# $$
#
# Write `robust_normal(m, S, eps)`: the unit normal, a tensor (2,), with the least error. You may search; the plane has only 360 degrees. You may also set the derivative to zero, which shows that the answer is $(\Sigma + \lambda I)^{-1}m$ with some $\lambda \ge 0$.

# %% tags=["stub"]
# exercise shrink
def robust_normal(m, S, eps):
    """Unit normal (2,) of the linear classifier of least error under l2 attacks of radius eps."""
    ...

# %% tags=["solution"]
# exercise shrink
def robust_normal(m, S, eps):
    """Unit normal (2,) of the linear classifier of least error under l2 attacks of radius eps."""
    best, most = None, -math.inf
    for weight in [0.0, *torch.logspace(-6, 4, 2000, dtype=torch.float64)]:
        n = torch.linalg.solve(S + weight * torch.eye(2, dtype=S.dtype), m)
        n = n / n.norm()
        z = (n @ m / 2 - eps) / (n @ S @ n).sqrt()
        if z > most:
            best, most = n, z
    return best

# %% tags=["wrong"]
# exercise shrink
def robust_normal(m, S, eps):
    n = torch.linalg.solve(S, m)  # the radius plays no part
    return n / n.norm()

# %% tags=["wrong"]
# exercise shrink
def robust_normal(m, S, eps):
    return m / m.norm()  # robust at any price

# %% tags=["wrong"]
# exercise shrink
def robust_normal(m, S, eps):
    best, most = None, -math.inf
    for degrees in range(0, 360):
        n = torch.tensor([math.cos(degrees), math.sin(degrees)], dtype=m.dtype)  # not radians
        z = (n @ m / 2 - eps) / (n @ S @ n)  # the variance, not its root
        if z > most:
            best, most = n, z
    return best

# %% tags=["check"]
# check shrink
_half = m.norm().item() / 2


def _z(n, eps):
    return ((n @ m / 2 - eps) / (n @ S @ n).sqrt()).item()


for _share in (0.0, 0.1, 0.3, 0.6, 0.9):
    _eps = _share * _half
    _n = robust_normal(m, S, _eps)
    assert torch.is_tensor(_n) and _n.shape == (2,), "return a tensor of two entries"
    _n = _n.double()
    assert abs(_n.norm().item() - 1) < 1e-3, "the normal has to have length 1"
    assert _n @ m > 0, "the normal has to point from class 1 to class 2, as m does"
    _degrees = torch.arange(-9000, 9000, dtype=torch.float64) / 100
    _best = metrics.linear_z(m, S, _degrees, _eps).max().item()
    assert _z(_n, _eps) > 0.99 * _best, (
        f"at a radius of {_share:g} times half the distance of the means another normal has the "
        "lower error: does your normal turn as the radius grows, and does it maximise the "
        "fraction in the formula?"
    )

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The normal is not normalised, so ε is compared with a longer or shorter margin; degrees go into `cos`; the variance stands in place of its root. A grid of whole degrees is fine enough.
#
# **Ask next.** What is $(\Sigma + \lambda I)^{-1}m$ called elsewhere? (Ridge, or shrinkage, discriminant analysis: for Gaussians robust training *is* regularisation.) What becomes of the normal as $2\varepsilon \to \lVert m\rVert$?

# %% [markdown] tags=["exercise"]
# ## upright: when is the upright classifier better?
#
# *10 minutes.* Compare only two classifiers: the tilted one, $n \propto \Sigma^{-1}m$, and the upright one, $n \propto m$. From which radius on has the upright one the lower error under attack?
#
# Answer: `crossing`, a number, right to one per cent.

# %% tags=["stub"]
# exercise upright
crossing = ...

# %% tags=["solution"]
# exercise upright
up, tilted = m / m.norm(), torch.linalg.solve(S, m)
tilted = tilted / tilted.norm()
s_up, s_tilted = (up @ S @ up).sqrt(), (tilted @ S @ tilted).sqrt()
# (up @ m / 2 - r) / s_up = (tilted @ m / 2 - r) / s_tilted
crossing = ((tilted @ m / 2) * s_up - (up @ m / 2) * s_tilted) / (s_up - s_tilted)

# %% tags=["wrong"]
# exercise upright
tilted = torch.linalg.solve(S, m)
crossing = tilted @ m / (2 * tilted.norm())  # where the tilted one is no better than guessing

# %% tags=["wrong"]
# exercise upright
crossing = m.norm() / 2  # where no classifier is better than guessing

# %% tags=["wrong"]
# exercise upright
up, tilted = m / m.norm(), torch.linalg.solve(S, m)
tilted = tilted / tilted.norm()
v_up, v_tilted = up @ S @ up, tilted @ S @ tilted  # variances
crossing = ((tilted @ m / 2) * v_up - (up @ m / 2) * v_tilted) / (v_up - v_tilted)

# %% tags=["check"]
# check upright
_up, _tilted = m / m.norm(), torch.linalg.solve(S, m)
_tilted = _tilted / _tilted.norm()
_s = [(_n @ S @ _n).sqrt() for _n in (_up, _tilted)]
_right = ((_tilted @ m / 2 * _s[0] - _up @ m / 2 * _s[1]) / (_s[0] - _s[1])).item()
_edge = (_tilted @ m / 2).item()
_given = float(crossing)
assert abs(_given / _edge - 1) > 0.01, (
    "there the tilted classifier is no better than guessing: the upright one overtook it long "
    "before"
)
assert abs(_given / _right - 1) < 0.01, (
    "set the two fractions of the formula equal, each with its own standard deviation, and solve "
    "for the radius"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The edge of the cone, $\tfrac12\lVert m\rVert\cos\theta$, is given as the answer. It says where the tilted classifier stops being better than guessing, not where another one is better.
#
# **Ask next.** Is there a radius at which either of the two is the best linear classifier? (Only at 0 and in the limit; in between the best one lies between them.)

# %% [markdown] tags=["exercise"]
# ## normal: which way does a net's boundary face?
#
# *15 minutes.* A net has no normal until one says where. Walk from the point `a` to the point `b` (such as the two means) to the place where the decision changes; there the gradient of the difference of the two logits is the normal.
#
# Write `normal_of(net, a, b)`: the unit normal (D,) at that place, pointing towards b's class. `a` and `b` have shape (D, 1, 1); the net takes batches and has two logits, and puts a and b into different classes. Write it without `metrics.boundary_normal`.

# %% tags=["stub"]
# exercise normal
def normal_of(net, a, b):
    """Unit normal (D,) of the boundary where it crosses the segment a to b, towards b's class."""
    ...

# %% tags=["solution"]
# exercise normal
def normal_of(net, a, b):
    """Unit normal (D,) of the boundary where it crosses the segment a to b, towards b's class."""
    own, other = net(torch.stack([a, b])).argmax(1).tolist()
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        logits = net(torch.lerp(a, b, middle)[None])[0]
        low, high = (middle, high) if logits[own] > logits[other] else (low, middle)
    point = torch.lerp(a, b, low)[None].requires_grad_()
    logits = net(point)[0]
    gradient = torch.autograd.grad(logits[other] - logits[own], point)[0].flatten()
    return gradient / gradient.norm()

# %% tags=["wrong"]
# exercise normal
def normal_of(net, a, b):
    point = torch.lerp(a, b, 0.5)[None].requires_grad_()  # halfway, where the net may be sure
    own, other = net(torch.stack([a, b])).argmax(1).tolist()
    logits = net(point)[0]
    gradient = torch.autograd.grad(logits[other] - logits[own], point)[0].flatten()
    return gradient / gradient.norm()

# %% tags=["wrong"]
# exercise normal
def normal_of(net, a, b):
    own, other = net(torch.stack([a, b])).argmax(1).tolist()
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        logits = net(torch.lerp(a, b, middle)[None])[0]
        low, high = (middle, high) if logits[own] > logits[other] else (low, middle)
    point = torch.lerp(a, b, low)[None].requires_grad_()
    gradient = torch.autograd.grad(net(point)[0, other], point)[0].flatten()  # of one logit
    return gradient / gradient.norm()

# %% tags=["wrong"]
# exercise normal
def normal_of(net, a, b):
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        logits = net(torch.lerp(a, b, middle)[None])[0]
        low, high = (middle, high) if logits[0] > logits[1] else (low, middle)
    point = torch.lerp(a, b, low)[None].requires_grad_()
    logits = net(point)[0]
    gradient = torch.autograd.grad(logits[1] - logits[0], point)[0].flatten()  # always to class 1
    return gradient / gradient.norm()

# %% tags=["check"]
# check normal
class _Curved(nn.Module):
    """Logits whose difference is u^2 + v - 1/2, and which share a term."""

    def forward(self, x):
        u, v = x[:, 0, 0, 0], x[:, 1, 0, 0]
        lead, term = u * u + v - 0.5, 3 * u
        return torch.stack([term - lead / 2, term + lead / 2], 1)


_a, _b = torch.full((2, 1, 1), 0.1), torch.full((2, 1, 1), 0.9)
_at = (math.sqrt(3) - 1) / 2  # u = v there
_known = torch.tensor([2 * _at, 1.0])
_found = normal_of(_Curved(), _a, _b)
assert torch.is_tensor(_found) and _found.shape == (2,), (
    "return a tensor with one entry for each coordinate"
)
assert abs(_found.norm().item() - 1) < 1e-3, "the normal has to have length 1"
assert metrics.angle(_found, _known) < 1, (
    "wrong for a net with a curved boundary: look for the place where the decision changes, and "
    "take the gradient of the difference of the two logits there"
)
assert metrics.angle(normal_of(_Curved(), _b, _a), -_known) < 1, (
    "with a and b exchanged the normal has to point the other way, towards b's class"
)
_means = [points.x_train[points.y_train == k].mean(0) for k in (0, 1)]
for _net in (standard, robust):
    _right = metrics.boundary_normal(_net, *_means)
    assert metrics.angle(normal_of(_net, *_means), _right) < 1, "wrong for one of the trained nets"

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The gradient is taken halfway between the means, or at a mean; or of one logit, which is no normal at all, since both logits can share a term that decides nothing. `lerp` needs `a` and `b` of one shape.
#
# **Ask next.** Which part of the answer belongs to the net and which to the choice of the segment? Compare the angles of `standard` and `robust` to `m` with the first exercise: the standard net has gone only part of the way to $\Sigma^{-1}m$.

# %% [markdown] tags=["exercise"]
# ## outside: how much of a step leaves the plane of the images?
#
# *15 minutes.* The first k principal components of the training images span a plane. A step, such as an attack minus its image, is a sum of a part in the plane and a part at right angles to it.
#
# Write `share_outside(step, x_train, k)`: for every step the length of the part outside over the length of the step, (B,). `step` is (B, C, H, W), `x_train` (N, C, H, W). Write it without `metrics.principal_projection`.

# %% tags=["stub"]
# exercise outside
def share_outside(step, x_train, k):
    """Share of each step's length outside the plane of k principal components: (B,)."""
    ...

# %% tags=["solution"]
# exercise outside
def share_outside(step, x_train, k):
    """Share of each step's length outside the plane of k principal components: (B,)."""
    flat = x_train.flatten(1).double()
    centred = flat - flat.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -k:]
    step = step.flatten(1).double()
    outside = step - step @ axes @ axes.T
    return outside.norm(dim=1) / step.norm(dim=1)

# %% tags=["wrong"]
# exercise outside
def share_outside(step, x_train, k):
    flat = x_train.flatten(1).double()
    centred = flat - flat.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -k:]
    step = step.flatten(1).double() - flat.mean(0)  # a step is not an image
    outside = step - step @ axes @ axes.T
    return outside.norm(dim=1) / step.norm(dim=1)

# %% tags=["wrong"]
# exercise outside
def share_outside(step, x_train, k):
    flat = x_train.flatten(1).double()
    centred = flat - flat.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, :k]  # the smallest ones
    step = step.flatten(1).double()
    outside = step - step @ axes @ axes.T
    return outside.norm(dim=1) / step.norm(dim=1)

# %% tags=["wrong"]
# exercise outside
def share_outside(step, x_train, k):
    flat = x_train.flatten(1).double()
    centred = flat - flat.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -k:]
    step = step.flatten(1).double()
    inside = step @ axes @ axes.T
    return 1 - inside.norm(dim=1) / step.norm(dim=1)  # lengths do not add up

# %% tags=["check"]
# check outside
_mean = images.x_train.mean(0)
_steps = torch.cat(
    [attacked[:20] - x[:20], (images.x_train[:20] - images.x_train[20:40]), _mean[None]]
)
_found = share_outside(_steps.clone(), images.x_train, dimensions)
assert torch.is_tensor(_found) and _found.shape == (len(_steps),), (
    "return one number for each step"
)
assert (_found >= -1e-6).all() and (_found <= 1 + 1e-6).all(), (
    "a share of a length lies between 0 and 1"
)
_in = metrics.principal_projection(_mean + _steps, images.x_train, dimensions=dimensions) - _mean
_right = (_steps - _in).flatten(1).norm(dim=1) / _steps.flatten(1).norm(dim=1)
assert (_found[20:40] - _right[20:40]).abs().max() < 0.01, (
    "wrong for the step from one image to another: centre the images to find the components, not "
    "the step; take the components of largest variance; and the two parts of a step are the "
    "sides of a right-angled triangle"
)
assert (_found - _right).abs().max() < 0.01, (
    "right for steps between images, wrong for others: is anything centred?"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The step is centred like an image; `eigh` sorts upwards, so the first k columns are the k directions in which images vary least; lengths of the two parts are added up as if they lay on a line.
#
# **Ask next.** Why does the chapter's distance from the plane, $\lVert x^* - \pi(x^*)\rVert$, mix two things that this share keeps apart? (It contains the distance of the image itself.)

# %% [markdown]
# **Predict.** How much of an attack's length lies outside the plane of 10 principal components, on average, in per cent?

# %% tags=["stub"]
# predict share
prediction = ...  # per cent of an attack's length

# %% tags=["solution"]
# predict share
prediction = 50

# %%
def picture():
    generator = torch.Generator().manual_seed(seed)
    length = (attacked - x).flatten(1).norm(dim=1)
    chance = metrics.random_step(x, length, generator=generator)
    rows, told = [], []
    for name, moved in (("attack", attacked), ("random step", chance)):
        mean, step = images.x_train.mean(0), moved - x
        inside = (
            metrics.principal_projection(mean + step, images.x_train, dimensions=dimensions) - mean
        )
        share = (step - inside).flatten(1).norm(dim=1) / step.flatten(1).norm(dim=1)
        rows.append((name, [step[0], inside[0], step[0] - inside[0]]))
        told.append(f"{name} {100 * share.mean():.1f} %")
    finding = (
        f"Mean share of a step's length outside the plane of {dimensions} components: "
        f"{', '.join(told)}. Both are clipped to [0, 1]. Each map is on its own scale."
    )
    fig = plots.gallery(rows, columns=["step", "in the plane", "outside"])
    return plots.show(
        fig, alt="An attack and a random step, in and outside the plane.", finding=finding
    )

# %%
reveal(prediction, picture)

# %% [markdown] tags=["exercise"]
# ## reference: what would a step do that knows nothing?
#
# *5 minutes.* "Most of the attack lies outside the plane." Before that means anything one has to know what a random step does. Let a step point in a direction drawn uniformly from all directions of the pixels. Which share of its *squared* length lies outside the plane of `dimensions` components, on average?
#
# Answer: `chance`, a number in $[0, 1]$, right to 0.002. Do not draw anything: the images have `images.x_train[0].numel()` pixels.

# %% tags=["stub"]
# exercise reference
chance = ...

# %% tags=["solution"]
# exercise reference
chance = 1 - dimensions / images.x_train[0].numel()

# %% tags=["wrong"]
# exercise reference
chance = 0.5  # as much in the plane as outside

# %% tags=["wrong"]
# exercise reference
chance = dimensions / images.x_train[0].numel()  # inside

# %% tags=["wrong"]
# exercise reference
chance = math.sqrt(1 - dimensions / images.x_train[0].numel())  # of the length

# %% tags=["check"]
# check reference
_pixels = images.x_train[0].numel()
_right = 1 - dimensions / _pixels
_given = float(chance)
assert abs(_given - math.sqrt(_right)) > 0.002, (
    "that is the share of the length; asked is that of the squared length"
)
assert abs(_given - dimensions / _pixels) > 0.002, "that is the share inside the plane"
assert abs(_given - _right) < 0.002, (
    "write the step in a basis whose first axes span the plane: how much of the squared length "
    "does one axis get?"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** One half, as if the plane and its complement were equally large. In a basis that contains the components every axis gets $1/D$ of the squared length on average, and $D - k$ axes lie outside.
#
# **Ask next.** Look at the picture again: which of the two steps lies farther outside? (The random one has less outside than this exercise says, because it was clipped to $[0, 1]$ as the attack was.) What may one conclude about "attacks leave the data"? And would a random step that only changes pixels which images use be a fairer reference?
