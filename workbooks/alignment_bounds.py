# %% [markdown]
# # Exercises: alignment and robustness
#
# About an hour, six exercises and a prediction. At the end you will have turned the paper's figure round by moving the
# origin, made a net's alignment vanish without touching a decision, and found where a theorem fails as it is printed. The
# chapter is [Alignment and robustness](../book/notebooks/alignment_bounds.html).
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell,
# save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
dataset: str = "mnist_small"  # one of mnist_small, mnist, fashion_mnist: the images
seed: int = 0  # of the nets
penalty: float = 0.3  # weight of the gradient penalty of the second net
code_lambda: float = 180_000  # the largest weight in the paper's released settings
code_batch: int = 100  # images in a training step there

# %%
import pandas as pd
import torch
from torch import nn

from companion import data, metrics, store
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, part

images = data.load(dataset, n_train=1000, n_test=60)
x = images.x_test
common = {
    "data": part(dataset, hold_out=0.2, n_train=1000),
    "model": part("small_net", channels=[4, 8, 16], hidden=32, dropout=0.2),
    "optimiser": part("SGD", lr=0.03, momentum=0.9, weight_decay=0.0),
}
common |= {"epochs": 7, "batch_size": 20, "seed": seed}
penalised = Recipe(**common, loss=part("double_backprop", lambda_g=penalty))
nets = {"undefended": store.get(Recipe(**common)), "penalised": store.get(penalised)}
terms = {name: metrics.alignment_terms(net, x) for name, net in nets.items()}


def medians(origin=0.0):
    """Median α of both nets over x, with pixels measured from `origin`, a number or an image."""
    alpha = {name: metrics.alignments(of, x, origin)["alpha"] for name, of in terms.items()}
    return {name: of.median().item() for name, of in alpha.items()}


for name, value in medians().items():
    reach = terms[name].rho_tilde.median()
    print(f"{name}: median ρ̃ {reach:.2f}, median α {value:.2f} (origin black)")

# %% [markdown] tags=["exercise"]
# ## affine: two lengths of one net
#
# *10 minutes.* The logits of an affine net are $Wx + b$, with $W$ (K, D), $b$ (K,) and an image $x$ (D,). Write
# `affine(W, b, x)`. It returns two numbers: the alignment $\alpha$ of the predicted class's logit, and the exact distance
# $\rho$ to the nearest point with another prediction (pixels are free to leave $[0, 1]$). About eight lines.

# %% tags=["stub"]
# exercise affine
def affine(W, b, x):
    """Alignment and distance to the decision boundary of the net W x + b at x."""
    ...

# %% tags=["solution"]
# exercise affine
def affine(W, b, x):
    z = W @ x + b
    own = int(z.argmax())
    alpha = abs(float(x @ W[own])) / float(W[own].norm())
    others = [k for k in range(len(z)) if k != own]
    rho = min(float((z[own] - z[k]) / (W[own] - W[k]).norm()) for k in others)
    return alpha, rho

# %% tags=["wrong"]
# exercise affine
def affine(W, b, x):  # the distance to where the predicted logit is 0
    z = W @ x + b
    own = int(z.argmax())
    return float((x @ W[own]).abs() / W[own].norm()), float(z[own].abs() / W[own].norm())

# %% tags=["wrong"]
# exercise affine
def affine(W, b, x):  # the bias inside the alignment
    z = W @ x + b
    own = int(z.argmax())
    others = [k for k in range(len(z)) if k != own]
    rho = min(float((z[own] - z[k]) / (W[own] - W[k]).norm()) for k in others)
    return float(z[own].abs() / W[own].norm()), rho

# %% tags=["wrong"]
# exercise affine
def affine(W, b, x):  # the second largest logit in place of the nearest class
    z = W @ x + b
    own, next_one = z.topk(2).indices.tolist()
    rho = (z[own] - z[next_one]) / (W[own] - W[next_one]).norm()
    return float((x @ W[own]).abs() / W[own].norm()), float(rho)

# %% tags=["wrong"]
# exercise affine
def affine(W, b, x):  # as if robustness were alignment
    own = int((W @ x + b).argmax())
    alpha = float((x @ W[own]).abs() / W[own].norm())
    return alpha, alpha

# %% tags=["check"]
# check affine
for trial in range(40):
    draw = torch.Generator().manual_seed(1000 * seed + trial)
    W, b = torch.randn(6, 12, generator=draw), torch.randn(6, generator=draw)
    W = W * torch.rand(6, 1, generator=draw) * 3  # the nearest class is often not the next one
    point = torch.rand(12, generator=draw)
    found = affine(W, b, point)
    assert len(found) == 2, "return two numbers, alignment and distance"
    linear = nn.Linear(12, 6)
    linear.load_state_dict({"weight": W, "bias": b})
    alpha = metrics.alignment(linear, point[None]).item()
    told = "α is about the gradient of the predicted logit; has that anything to do with b?"
    assert abs(float(found[0]) - alpha) < 1e-4, told
    rho = metrics.linearised_robustness(linear, point[None]).item()
    told = "the prediction changes where another logit overtakes: which one does so first?"
    assert abs(float(found[1]) - rho) < 1e-4, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** The class with the second largest logit is taken for the nearest one. It is not if the gradients
# of the two are alike: the boundary to a less likely class may be nearer.
#
# **Ask next.** For two classes with opposite logits and no bias both numbers agree: write down why. Does it follow that
# training for robustness makes a linear net aligned? (No: for such a net both words mean the same number.)

# %% [markdown] tags=["exercise"]
# ## turn: move the origin, and turn the figure round
#
# *20 minutes.* $\alpha$ measures the image from the value 0, black. Nothing in the net says that this is the right place:
# from the origin $o$, the image is $x - o$, and every prediction, distance and gradient stays what it was.
#
# From black, one of the two nets has the larger median $\alpha$. Find an origin, an image of *any* numbers, from which the
# other net has the larger one, by at least a tenth. Answer: `origin`, a tensor (1, 28, 28); `medians(origin)` says
# where you are. About ten lines. Start with grey levels, if you like; then note that what you want of each image's
# $\langle x - o, g\rangle$ is *one linear equation* for $o$, which has 784 unknowns. The gradients are `terms[name].g`.

# %% tags=["stub"]
# exercise turn
origin = ...

# %% tags=["solution"]
# exercise turn
less, more = sorted(medians(), key=medians().get)
flat, unit = x.flatten(1), {}
for name, of in terms.items():
    g = of.g.flatten(1)
    unit[name] = g / g.norm(dim=1, keepdim=True)
along = {name: (flat * of).sum(1) for name, of in unit.items()}
# the net that has more shall have 0 at every image, the other one 5
wanted = torch.cat([along[more], along[less] - 5])
rows = torch.cat([unit[more], unit[less]])
found = torch.linalg.lstsq(rows.double(), wanted.double()[:, None]).solution
origin = found.float().view(x.shape[1:])

# %% tags=["wrong"]
# exercise turn
origin = torch.zeros_like(x[0])

# %% tags=["wrong"]
# exercise turn
origin = torch.ones_like(x[0])  # white: both change, their order does not

# %% tags=["wrong"]
# exercise turn
origin = images.x_train.mean(0)

# %% tags=["wrong"]
# exercise turn
more = max(medians(), key=medians().get)
gradients = terms[more].g.flatten(1)
gradients = gradients / gradients.norm(dim=1, keepdim=True)
origin = -50 * gradients.mean(0).view(x.shape[1:])  # the larger one becomes larger still

# %% tags=["check"]
# check turn
origin = torch.as_tensor(origin, dtype=torch.float32)
assert origin.shape == x.shape[1:], f"one image, shaped {tuple(x.shape[1:])}"
assert origin.isfinite().all(), "the origin has entries that are no numbers"
assert origin.abs().max() < 1e4, "beside numbers of this size the images are lost in rounding"
before, after = medians(), medians(origin)
less, more = sorted(before, key=before.get)
told = f"{less} {after[less]:.2f}, {more} {after[more]:.2f}: which <x - o, g> has each net?"
assert after[less] >= 1.1 * after[more], told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** Grey levels alone: with the defaults no grey between black and white turns the order of these
# two nets. The next try, a step along the gradient of one net, moves the other's $\alpha$ too.
#
# **Ask next.** Is black a better choice than your origin? Both are choices of the person who measures. From how many images at
# once can one origin make $\alpha^\dagger = \tilde\rho$? (As many as there are pixels: one equation each, Theorem 3's $\xi$ read
# backwards.) Which statement about robustness and alignment survives every origin?

# %% [markdown] tags=["exercise"]
# ## disguised: make the alignment vanish
#
# *12 minutes.* A function that is added to *all* logits changes no decision and no probability. Write
# `disguised(net, image)`, with an `image` (1, 1, 28, 28). It returns a `torch.nn.Module` with the decisions and probabilities
# of `net` on every image, whose alignment $\alpha$ at `image` is 0 (below a hundredth of what it was). Its gradient must not be
# zero. About ten lines.

# %% tags=["stub"]
# exercise disguised
def disguised(net, image):
    """A module with the probabilities of net everywhere, and alignment 0 at the image."""
    ...

# %% tags=["solution"]
# exercise disguised
def disguised(net, image):
    point = image.clone().requires_grad_()
    g = torch.autograd.grad(net(point).max(), point)[0]
    c = -((image * g).sum() / image.square().sum()).item()

    class WithCommon(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, pixels):
            return self.inner(pixels) + c / 2 * pixels.flatten(1).square().sum(1, keepdim=True)

    return WithCommon()

# %% tags=["wrong"]
# exercise disguised
def disguised(net, image):  # a constant has no gradient
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, pixels):
            return self.inner(pixels) + 100

    return Shifted()

# %% tags=["wrong"]
# exercise disguised
def disguised(net, image):  # on the predicted class's logit alone
    point = image.clone().requires_grad_()
    logits = net(point)
    g = torch.autograd.grad(logits.max(), point)[0]
    c = -((image * g).sum() / image.square().sum()).item()
    only = (torch.arange(logits.shape[1]) == logits.argmax()).float()

    class OnOne(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, pixels):
            common = c / 2 * pixels.flatten(1).square().sum(1, keepdim=True)
            return self.inner(pixels) + common * only

    return OnOne()

# %% tags=["wrong"]
# exercise disguised
def disguised(net, image):  # the whole gradient taken away: 0/0
    point = image.clone().requires_grad_()
    g = torch.autograd.grad(net(point).max(), point)[0]

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, pixels):
            return self.inner(pixels) - (pixels * g).flatten(1).sum(1, keepdim=True)

    return Flat()

# %% tags=["wrong"]
# exercise disguised
def disguised(net, image):  # the factor 1/2 is forgotten: the gradient of |x|^2 is 2 x
    point = image.clone().requires_grad_()
    g = torch.autograd.grad(net(point).max(), point)[0]
    c = -((image * g).sum() / image.square().sum()).item()

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, pixels):
            return self.inner(pixels) + c * pixels.flatten(1).square().sum(1, keepdim=True)

    return Twice()

# %% tags=["check"]
# check disguised
several = torch.cat([x, torch.rand_like(x)])
for net in nets.values():
    for at in range(3):
        image = x[at : at + 1]
        made = disguised(net, image)
        told = "return a torch.nn.Module: a class with a forward, made from net"
        assert isinstance(made, nn.Module), told
        made.eval()
        with torch.no_grad():
            both = [of(several).softmax(1) for of in (net, made)]
        told = "the probabilities changed: all logits of an image get one and the same number"
        assert (both[0] - both[1]).abs().max() < 1e-3, told
        point = image.clone().requires_grad_()
        slope = torch.autograd.grad(made(point).max(), point)[0].norm().item()
        plain = image.clone().requires_grad_()
        own = torch.autograd.grad(net(plain).max(), plain)[0].norm().item()
        told = "its gradient at the image is zero, so α is 0/0: leave one in another direction"
        assert slope > 1e-3 * own, told
        before, after = (metrics.alignment(of, image).item() for of in (net, made))
        told = f"α was {before:.3f} and is {after:.3f}: which gradient does your function add?"
        assert after < 0.01 * before, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** The function is added to the predicted logit alone, which changes the probabilities; or all of
# $g$ is taken away by $-\langle g, x\rangle$, so that $\alpha$ is 0/0 (the most direct idea, and nearly right).
#
# **Ask next.** How would you make $\alpha$ as large as it can be, $\lVert x\rVert$? (The same with a large $c$.) A paper
# reports that its training made nets less aligned: what do you want to know? (Which logit; is it centred?)

# %% [markdown] tags=["exercise"]
# ## invariant: what stays?
#
# *5 minutes.* You take a net and its disguise, and measure both from black and from white. Which of these has the same
# value all four times?
#
# * a: $\alpha$, the alignment of the predicted class's logit
# * b: $\alpha^\dagger$, the alignment of its lead over the nearest other class
# * c: $\tilde\rho$, the linearised distance
# * d: $\alpha$ of the centred logit (the mean of all logits subtracted)
#
# `metrics.alignment_terms(net, x, origin=1.0, common=0.1, centred=True)` has all of it. Answer: `stays`, one of "a", "b",
# "c", "d".

# %% tags=["stub"]
# exercise invariant
stays = ...

# %% tags=["solution"]
# exercise invariant
stays = "c"

# %% tags=["wrong"]
# exercise invariant
stays = "b"

# %% tags=["wrong"]
# exercise invariant
stays = "a"

# %% tags=["wrong"]
# exercise invariant
stays = "d"

# %% tags=["check"]
# check invariant
values = {}
for shade in (0.0, 1.0):
    for weight in (0.0, 0.1):
        how = {"origin": shade, "common": weight}
        of = metrics.alignment_terms(nets["undefended"], x[:5], **how)
        inside = metrics.alignment_terms(nets["undefended"], x[:5], **how, centred=True)
        lengths = {"a": of.alpha, "b": of.alpha_plus, "c": of.rho_tilde, "d": inside.alpha}
        for letter, length in lengths.items():
            values.setdefault(letter, []).append(length)
assert stays in values, 'answer with one of "a", "b", "c", "d"'
least = {letter: (torch.stack(of) - of[0]).abs().max().item() for letter, of in values.items()}
told = f"it differs by up to {least[stays]:.2f} on five images: try each origin and each disguise"
assert least[stays] < 1e-3, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** “b” and “d”: both do not see a common function, and both move with the origin. The theorems
# hold from every origin all the same, since the bias term takes up what $\alpha^\dagger$ loses.
#
# **Ask next.** Which pairs of numbers in the chapter's figures may then be compared between papers?

# %% [markdown] tags=["exercise"]
# ## printed: where the theorem fails
#
# *12 minutes.* Theorem 3 of the paper bounds $\tilde\rho(x)$ from above. Its last term compares the direction of $g^\dagger$ with
# that of $g$, the gradient at $x$; the proof needs $\gamma$, the gradient at another point. `planar(k)` of the next cell is a
# net on the plane with random weights, $k = 0, 1, 2, \dots$
#
# Find a $k$ and a point of the unit square at which the bound *as printed* is wrong, by 0.001 or more. Answer: `culprit`, a
# pair of $k$ and a list of two coordinates, such as `(7, [0.5, 0.5])`. About eight lines with `metrics.alignment_terms`;
# its result has `rho_tilde`, `bound_3_printed` and `bound_3` for each point.

# %%
def planar(k):
    """A net on the plane with three classes and random weights, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 * seed + k)
        hidden = [nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(24, 3)).double().eval()

# %% tags=["stub"]
# exercise printed
culprit = ...

# %% tags=["solution"]
# exercise printed
points = torch.rand(300, 2, generator=torch.Generator().manual_seed(0)).double()
excess = []
for k in range(10):
    found = metrics.alignment_terms(planar(k), points)
    excess.append(found.rho_tilde - found.bound_3_printed)
k, at = divmod(int(torch.stack(excess).argmax()), len(points))
culprit = (k, points[at].tolist())

# %% tags=["wrong"]
# exercise printed
points = torch.rand(300, 2, generator=torch.Generator().manual_seed(0)).double()
found = [metrics.alignment_terms(planar(k), points) for k in range(10)]
gap = torch.stack([of.bound_3_printed - of.rho_tilde for of in found])
k, at = divmod(int(gap.argmax()), len(points))  # where the bound holds by most
culprit = (k, points[at].tolist())

# %% tags=["wrong"]
# exercise printed
points = 5 * torch.rand(300, 2, generator=torch.Generator().manual_seed(0)) + 1
culprit = (0, points[0].tolist())  # outside the unit square

# %% tags=["wrong"]
# exercise printed
culprit = [0.5, 0.5]  # no net

# %% tags=["check"]
# check printed
told = "a pair is wanted: the number k of the net, and a list of two coordinates"
assert isinstance(culprit, tuple | list) and len(culprit) == 2, told
assert isinstance(culprit[0], int) and len(culprit[1]) == 2, told
point = torch.tensor([[float(of) for of in culprit[1]]], dtype=torch.float64)
assert point.min() >= 0 and point.max() <= 1, "both coordinates lie in [0, 1]"
of = metrics.alignment_terms(planar(culprit[0]), point)
exact, bound = of.rho_tilde.item(), of.bound_3_printed.item()
told = f"there ρ̃ is {exact:.4f} and the printed bound {bound:.4f}: it holds"
assert exact >= bound + 1e-3, told
assert exact <= of.bound_3.item() + 1e-9

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** The search stays at one net: some nets have no such point, since $\xi$ often lies in the same
# affine region as $x$, where $\gamma = g$.
#
# **Ask next.** Where does $\xi$ lie for your point, and what has $g$ done on the way? Read the proof: at which step would $g$
# in place of $\gamma$ be needed?

# %% [markdown]
# ## Predict
#
# At how many of 100 random points of the square does the printed bound fail, on average over ten such nets? Write your
# number, in per cent.

# %% tags=["stub"]
# predict failing
failing = ...

# %% tags=["solution"]
# predict failing
failing = 1.0  # for example

# %%
def counted():
    square = torch.rand(200, 2, generator=torch.Generator().manual_seed(1)).double()
    found = [metrics.alignment_terms(planar(k), square) for k in range(10)]
    bounds = {"as printed, %": "bound_3_printed", "with γ, %": "bound_3"}
    table = {}
    for name, bound in bounds.items():
        broken = [of.rho_tilde > getattr(of, bound) + 1e-9 for of in found]
        table[name] = [100 * of.double().mean().item() for of in broken]
    rows = pd.DataFrame(table, index=pd.Index(range(10), name="net"))
    return pd.concat([rows, rows.mean().to_frame("mean").T]).round(1)


reveal(failing, counted)

# %% [markdown] tags=["exercise"]
# ## weight: what is a λ of 180,000?
#
# *5 minutes.* The paper's penalty is $\lambda$ times the *mean over images* of $\lVert\nabla_{x_k}\mathcal L(x_k, y_k)\rVert^2$. The
# released code differentiates the *mean loss of the batch* instead of each image's own loss, and averages the squared norms
# over the batch. Its weights go up to `code_lambda`, with batches of `code_batch` images.
#
# Which $\lambda$ of the paper's equation is that? Answer: `in_the_equation`, a number, right to 1 %.

# %% tags=["stub"]
# exercise weight
in_the_equation = ...

# %% tags=["solution"]
# exercise weight
in_the_equation = code_lambda / code_batch**2  # each gradient carries 1/B, and is squared

# %% tags=["wrong"]
# exercise weight
in_the_equation = code_lambda / code_batch

# %% tags=["wrong"]
# exercise weight
in_the_equation = code_lambda

# %% tags=["wrong"]
# exercise weight
in_the_equation = code_lambda * code_batch

# %% tags=["check"]
# check weight
expected = code_lambda / code_batch / code_batch
told = "only one of the B losses in the mean depends on an image: what is its gradient?"
assert abs(in_the_equation - code_lambda) > 0.01 * expected or code_batch == 1, told
told = "the factor of a gradient is squared with its norm"
assert abs(in_the_equation - code_lambda / code_batch) > 0.01 * expected or code_batch == 1, told
told = "which factor does each gradient carry in the code?"
assert abs(in_the_equation - expected) < 0.01 * expected, told

# %% [markdown] tags=["instructor"]
# 18. **What usually goes wrong.** One factor $1/B$ instead of two. **Ask next.** Somebody trains the code on two GPUs with half
# the batch each and the same weight: by what is the regularisation multiplied? (By 4.) In the package it is
# `losses.double_backprop(..., scaling="released")`.
