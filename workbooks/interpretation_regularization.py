# %% [markdown]
# # Exercises: Interpretation Regularization
#
# About an hour, six exercises and a prediction. At the end you will have written an attack, made a net look robust
# without changing one of its decisions, and written the term with which the paper trains. The chapter is
# [Interpretation Regularization](../book/notebooks/interpretation_regularization.html).
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell,
# save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
dataset: str = "mnist_small"  # one of mnist_small, mnist, fashion_mnist: the images
seed: int = 0  # of the net's weights and of the order of its images
eps: float = 1.5  # l2 radius of the attack by the official recipe, pixels in [0, 1]
eps_linf: float = 0.1  # linf radius of FGSM, pixels in [0, 1]
rise: float = 10.0  # points by which the official recipe has to be misled
batch_size: int = 50  # images in a training step
lambda_m: float = 0.15  # weight of the gradient's norm

# %%
import math

import pandas as pd
import torch
from torch.nn import functional as F

from companion import attacks, data, losses, metrics, saliency, store
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, part

images = data.load(dataset, n_train=800, n_test=300)
net = store.get(  # the chapter's standard net: trained in seconds if the chapter was not run
    Recipe(
        data=part(dataset, n_train=800),
        model=part("compact_cnn"),
        optimiser=part("SGD", lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-5),
        epochs=7,
        batch_size=50,
        seed=seed,
    )
)
x, y = images.x_test, images.y_test
right = attacks.correct(net, x, y).float().mean().item()
print(f"{images.label}: the net is right on {100 * right:.1f} % of {len(y)} test images")

# %% [markdown] tags=["exercise"]
# ## fgsm: write the fast gradient sign method
#
# *10 minutes.* The first order of the loss says how to change an image: every pixel moves by `eps` in the direction in
# which the cross-entropy rises, and stays in $[0, 1]$.
#
# Write `fgsm(model, x, y, eps)`. It returns the attacked images, shaped like `x`; `y` are the true labels, and `eps` is
# in units of the pixels. `torch.autograd.grad` is enough; do not call `companion.attacks`.

# %% tags=["stub"]
# exercise fgsm
def fgsm(model, x, y, eps):
    """Images in [0, 1] within eps of x, pixel by pixel, that raise the cross-entropy with y."""
    ...

# %% tags=["solution"]
# exercise fgsm
def fgsm(model, x, y, eps):
    point = x.clone().requires_grad_()
    loss = F.cross_entropy(model(point), y, reduction="sum")
    slope = torch.autograd.grad(loss, point)[0]
    return (x + eps * slope.sign()).clamp(0, 1).detach()

# %% tags=["wrong"]
# exercise fgsm
def fgsm(model, x, y, eps):  # pixels leave [0, 1]
    point = x.clone().requires_grad_()
    slope = torch.autograd.grad(F.cross_entropy(model(point), y), point)[0]
    return x + eps * slope.sign()

# %% tags=["wrong"]
# exercise fgsm
def fgsm(model, x, y, eps):  # descends, as in training
    point = x.clone().requires_grad_()
    slope = torch.autograd.grad(F.cross_entropy(model(point), y), point)[0]
    return (x - eps * slope.sign()).clamp(0, 1)

# %% tags=["wrong"]
# exercise fgsm
def fgsm(model, x, y, eps):  # the gradient itself, not its sign
    point = x.clone().requires_grad_()
    slope = torch.autograd.grad(F.cross_entropy(model(point), y), point)[0]
    return (x + eps * slope / slope.abs().max()).clamp(0, 1)

# %% tags=["wrong"]
# exercise fgsm
def fgsm(model, x, y, eps):  # against the net's own prediction
    point = x.clone().requires_grad_()
    logits = model(point)
    slope = torch.autograd.grad(F.cross_entropy(logits, logits.argmax(1)), point)[0]
    return (x + eps * slope.sign()).clamp(0, 1)

# %% tags=["check"]
# check fgsm
few, labels = x[:100], y[:100]
attacked = fgsm(net, few, labels, eps_linf)
told = "return images, shaped like x"
assert isinstance(attacked, torch.Tensor) and attacked.shape == few.shape, told
assert (attacked - few).abs().max() <= eps_linf + 1e-6, "no pixel may move by more than eps"
told = "an image has its pixels in [0, 1], after the attack too"
assert attacked.min() >= 0 and attacked.max() <= 1, told
with torch.no_grad():
    before, after = (F.cross_entropy(net(of), labels) for of in (few, attacked))
assert after > before, "the loss has to rise: an attack goes uphill"
moved = (attacked - few).abs()
whole = (moved < 1e-6) | (moved > eps_linf - 1e-5) | (attacked == 0) | (attacked == 1)
told = "every pixel moves by the whole of eps, up or down: what of the gradient says which?"
assert whole.float().mean() > 0.99, told
for given, radius in (((labels + 1) % 10, eps_linf), (labels, eps_linf / 2)):
    expected = attacks.fgsm(net, few, given, eps=radius)
    apart = (fgsm(net, few, given, radius) - expected).abs() > 1e-5
    told = "it goes another way than the loss of the given labels y at radius eps rises"
    assert apart.float().mean() < 0.01, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** The pixels leave $[0, 1]$: on digits most of them are 0, and half of these would become
# negative. With the net's own prediction in place of $y$ the attack repairs nothing on correct images and *helps* the
# net on misclassified ones: the accuracy under attack comes out too high.
#
# **Ask next.** How much of the perturbation did the clamp take away? What changes when the loss is divided by 50? (For
# the sign: nothing. In the exercises below: a lot.)

# %% [markdown] tags=["exercise"]
# ## floor: where does the official attack stop moving?
#
# *8 minutes.* The paper's released $\ell_2$ attack steps along $g / \max(\lVert g\rVert, 10^{-6})$, where $g$ is an
# image's gradient of the cross-entropy *averaged over a batch of 50*. Suppose that only one rival class $k$ counts beside
# the true class $c$, and that the gradient of the lead $z_c - z_k$ has the norm `slope` of the next cell, the median
# over this net's test images.
#
# From which lead on is $\lVert g\rVert$ below $10^{-6}$, so that the step becomes shorter? Answer: `lead`, a number in
# units of logits, right to 0.1.

# %%
logits, rows = saliency.class_gradients(net, x)
top = logits.topk(2)
by_image = torch.arange(len(x))
first, second = (rows[by_image, of] for of in top.indices.T)
slope = (first - second).flatten(1).norm(dim=1)
slope = round(slope.median().item(), 2)
leads = top.values[:, 0] - top.values[:, 1]
print(
    f"slope {slope}; leads from {leads.min():.1f} to {leads.max():.1f}, "
    f"median {leads.median():.1f}"
)

# %% tags=["stub"]
# exercise floor
lead = ...

# %% tags=["solution"]
# exercise floor
# with one rival g = (1 - p) * slope / 50, and lead = log(p / (1 - p))
rest = 1e-6 * 50 / slope
lead = math.log((1 - rest) / rest)

# %% tags=["wrong"]
# exercise floor
lead = math.log(slope / 1e-6)  # the batch of 50 is forgotten

# %% tags=["wrong"]
# exercise floor
lead = 1 - 50e-6 / slope  # the probability, not the lead

# %% tags=["wrong"]
# exercise floor
lead = math.log(1 / 50e-6)  # the slope is forgotten

# %% tags=["check"]
# check floor
share = attacks.IR_PAPER.grad_floor * attacks.IR_PAPER.loss_divisor / slope
expected = math.log((1 - share) / share)
assert not 0 <= lead <= 1, "that is a probability; the lead is a difference of two logits"
told = "the loss is a mean over 50 images: by what is each image's own gradient divided?"
assert abs(lead - math.log(slope / attacks.IR_PAPER.grad_floor)) > 0.1, told
told = "with one rival p = 1 / (1 + exp(-lead)); the loss has (1 - p) times the lead's gradient"
assert abs(lead - expected) < 0.1, told

# %% [markdown] tags=["instructor"]
# The exercise "The floor" of the chapter, with this net's numbers. **What usually goes wrong.** The mean over the batch
# is overlooked, since the loss of one image does not look like a mean.
#
# **Ask next.** Which fraction of these test images lies above the floor (`(leads > lead).float().mean()`), and which
# after all logits are multiplied by 10? The slope is multiplied too, but it enters through a logarithm.

# %% [markdown]
# ## Predict
#
# All logits are multiplied by 10. No decision changes. The official recipe is run again: what accuracy will it report
# under attack, in per cent? Write your number, and one for the margin loss (the largest wrong logit minus the true
# one), before you go on.

# %% tags=["stub"]
# predict reported
reported = ...  # per cent, by the official recipe at factor 10; the next cell prints that at 1

# %% tags=["solution"]
# predict reported
reported = 50.0  # for example

# %%
def attacked_accuracy(model, **how):
    """Per cent of 100 test images that PGD-10 in the l2 ball of radius eps leaves correct."""
    generator = torch.Generator().manual_seed(0)
    ball = {"norm": "l2", "eps": eps, "steps": 10, "step_size": eps / 3, "generator": generator}
    found = attacks.pgd(model, x[:100], y[:100], **ball, **how)
    return 100 * attacks.correct(model, found, y[:100]).float().mean().item()


def official(model):
    """What the paper's released attack reports, per cent."""
    return attacked_accuracy(model, protocol=attacks.IR_PAPER)


def by_margin(model):
    """The same steps on the margin of each image, without a floor, per cent."""
    return attacked_accuracy(model, loss="margin")


print(f"official recipe: {official(net):.1f} %, margin loss: {by_margin(net):.1f} %")

# %% [markdown] tags=["exercise"]
# ## overrated: mislead the attack, not the net
#
# *15 minutes.* Write `overrated(net)`. It returns a `torch.nn.Module` that makes *the same decision as `net` on every
# image*, but of which `official` reports an accuracy that is higher by `rise` points or more. About ten lines.

# %% tags=["stub"]
# exercise overrated
def overrated(net):
    """A module with the decisions of net, and a higher accuracy by the official recipe."""
    ...

# %% tags=["solution"]
# exercise overrated
def overrated(net):
    class Louder(torch.nn.Module):
        def __init__(self, inner, factor):
            super().__init__()
            self.inner, self.factor = inner, factor

        def forward(self, images):
            return self.factor * self.inner(images)

    return Louder(net, 30.0)

# %% tags=["wrong"]
# exercise overrated
def overrated(net):  # rounded logits: ties fall to another class, and there is no gradient at all
    class Rounded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, images):
            return self.inner(images).round()

    return Rounded()

# %% tags=["wrong"]
# exercise overrated
def overrated(net):  # a constant on all logits: the softmax does not see it
    class Shifted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, images):
            return self.inner(images) + 100

    return Shifted()

# %% tags=["wrong"]
# exercise overrated
def overrated(net):  # blurs the input: a defence, but another net
    class Blurred(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, images):
            return 30 * self.inner(F.avg_pool2d(images, 5, stride=1, padding=2))

    return Blurred()

# %% tags=["check"]
# check overrated
made = overrated(net)
told = "return a torch.nn.Module: a class with a forward, made from net"
assert isinstance(made, torch.nn.Module), told
points = torch.cat([x, attacks.fgsm(net, x, y, eps=eps_linf), torch.rand_like(x)])
with torch.no_grad():
    alike = (made(points).argmax(1) == net(points).argmax(1)).float().mean().item()
told = f"{100 * (1 - alike):.2g} % of the decisions changed; none may, on attacked images either"
assert alike == 1, told
found = official(made) - official(net)
told = f"the official recipe moves by {found:+.1f} points; at least {rise:g} are wanted. "
assert found >= rise, told + "When is an image's gradient below the floor?"

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** A constant added to all logits, which no softmax sees; rounded logits, which change
# decisions. A factor of 1000 works too, and shows something else: in float32 most gradients become exactly 0. So may a
# *small* factor, such as 1/30, for another reason: all wrong classes then weigh alike in the cross-entropy, and the attack
# no longer aims at the nearest one.
#
# **Ask next.** Is it a defence? `by_margin(overrated(net))` says no. Which parts of the chapter's strong protocol remove
# the fault? (The loss of each image by itself, no floor, the margin beside the cross-entropy.) How could a net *learn* to
# do this? (Train longer, or without weight decay: the logits grow by themselves, so a standard net late in its
# training may be overrated more.)

# %% [markdown]
# Now compare with what you predicted.

# %%
def by_factor():
    factors = [1.0, 3.0, 10.0]
    scaled = [metrics.robustness.Scaled(net, of) for of in factors]
    table = {"official recipe": map(official, scaled), "margin, no floor": map(by_margin, scaled)}
    return pd.DataFrame(table, index=pd.Index(factors, name="factor")).round(1)


reveal(reported, by_factor)

# %% [markdown] tags=["exercise"]
# ## direction: the cosine of eq. 9
#
# *15 minutes.* The paper's loss rewards $\cos(\mathcal J_c(x), I(x))$, the cosine between the gradient of the true
# class's *logit* and a target map. Write `direction(model, x, y, target)`: the mean of the cosines of all images, a tensor
# with one entry. A training has to differentiate it in the weights. About six lines; do not call `companion.losses`.
#
# `maps` of the next cell are targets to try it on: SmoothGrad maps of the net itself, for the first training images.

# %%
x_train, y_train = images.x_train[:200], images.y_train[:200]
draw = torch.Generator().manual_seed(seed)
maps = saliency.smoothgrad(net, x_train, y_train, sigma=0.15, samples=10, generator=draw)

# %% tags=["stub"]
# exercise direction
def direction(model, x, y, target):
    """Mean over the images of the cosine between the true logit's gradient and the target."""
    ...

# %% tags=["solution"]
# exercise direction
def direction(model, x, y, target):
    point = x.clone().requires_grad_()
    own = model(point).gather(1, y[:, None]).sum()
    gradient = torch.autograd.grad(own, point, create_graph=True)[0]
    return F.cosine_similarity(gradient.flatten(1), target.flatten(1)).mean()

# %% tags=["wrong"]
# exercise direction
def direction(model, x, y, target):  # no graph of the gradient
    point = x.clone().requires_grad_()
    own = model(point).gather(1, y[:, None]).sum()
    gradient = torch.autograd.grad(own, point)[0]
    return F.cosine_similarity(gradient.flatten(1), target.flatten(1)).mean()

# %% tags=["wrong"]
# exercise direction
def direction(model, x, y, target):  # one cosine of the whole batch
    point = x.clone().requires_grad_()
    own = model(point).gather(1, y[:, None]).sum()
    gradient = torch.autograd.grad(own, point, create_graph=True)[0]
    return F.cosine_similarity(gradient.flatten(), target.flatten(), dim=0)

# %% tags=["wrong"]
# exercise direction
def direction(model, x, y, target):  # the loss's gradient in place of the logit's
    point = x.clone().requires_grad_()
    loss = F.cross_entropy(model(point), y, reduction="sum")
    gradient = torch.autograd.grad(loss, point, create_graph=True)[0]
    return F.cosine_similarity(gradient.flatten(1), target.flatten(1)).mean()

# %% tags=["wrong"]
# exercise direction
def direction(model, x, y, target):  # a cosine a pixel: the channel is taken for the vector
    point = x.clone().requires_grad_()
    own = model(point).gather(1, y[:, None]).sum()
    gradient = torch.autograd.grad(own, point, create_graph=True)[0]
    return F.cosine_similarity(gradient, target).mean()

# %% tags=["check"]
# check direction
few, labels = x_train[:30], y_train[:30]
targets = saliency.threshold(maps[:30])
targets = torch.cat([targets[:15], 20 * targets[15:]])  # the length of a target must not count
value = direction(net, few, labels, targets)
told = "return a tensor with one entry, the mean"
assert isinstance(value, torch.Tensor) and value.ndim == 0, told
told = "nothing leads from the value to the weights: ask for the graph of the first gradient"
assert value.requires_grad, told
loss = losses.interpretation(net, few, labels, targets, lambda_d=1.0, lambda_m=0.0)
expected = F.cross_entropy(net(few), labels) - loss
with torch.no_grad():
    as_one = F.cosine_similarity(
        saliency.input_gradient(net, few, labels).flatten(), targets.flatten(), dim=0
    )
told = "one cosine for each image, and then the mean: how long is a vector?"
assert (value - as_one).abs() > 1e-4, told
told = f"{value.item():.3f} is not it: whose gradient is it, and over which entries is the cosine?"
assert (value - expected).abs() < 1e-4, told
weights = list(net.parameters())
both = [torch.autograd.grad(of, weights, allow_unused=True) for of in (value, expected)]
none = [torch.zeros_like(of) for of in weights]
mine, right = (
    torch.cat([(o if of is None else of).flatten() for of, o in zip(each, none, strict=True)])
    for each in both
)
told = "the value is right, its derivative in the weights is not: is some part of it detached?"
assert (mine - right).norm() <= 0.01 * right.norm(), told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** `create_graph` is left out: the value is right and a training would ignore it, without any
# message where it is added to a cross-entropy. The cosine is taken along the channel (of grey images it is then ±1 at
# every pixel, a comparison of signs).
#
# **Ask next.** Why does the paper need the norm beside the cosine? (The cosine does not see the length, so a net may
# meet its target with a steep gradient.) What does a function added to all logits do to the value? (It moves it, and
# no decision: see the gauge in the chapter on alignment.)

# %% [markdown] tags=["exercise"]
# ## batch: a weight that grows with the batch
#
# *5 minutes.* The text penalises the mean over images of $\lVert \mathcal J_c(x)\rVert_2$. The released code takes *one*
# norm over the gradients of the whole batch, $\lVert G\rVert_F$ with $G$ of `batch_size` rows. All gradients of a batch
# have the same norm. Which weight of the text's penalty is as strong as the code's with weight `lambda_m`?
#
# Answer: `per_image`, a number, right to 1 %.

# %% tags=["stub"]
# exercise batch
per_image = ...

# %% tags=["solution"]
# exercise batch
per_image = lambda_m * math.sqrt(batch_size)

# %% tags=["wrong"]
# exercise batch
per_image = lambda_m * batch_size

# %% tags=["wrong"]
# exercise batch
per_image = lambda_m

# %% tags=["wrong"]
# exercise batch
per_image = lambda_m / math.sqrt(batch_size)

# %% tags=["check"]
# check batch
expected = math.sqrt(batch_size) * lambda_m
told = "the two penalties differ: write out both norms"
assert batch_size == 1 or abs(per_image - lambda_m) > 0.01 * lambda_m, told
told = "squares are added under the root, not norms"
assert abs(per_image - batch_size * lambda_m) > 0.01 * per_image, told
told = "write ||G||_F for batch_size rows of one and the same norm"
assert abs(per_image - expected) < 0.01 * expected, told

# %% [markdown] tags=["instructor"]
# 1.06 with the paper's numbers, seven times the weight that the text names. **Ask next.** Somebody doubles the batch and
# keeps `lambda_m`: by what does the regularisation grow? (By $\sqrt 2$.) In the chapter:
# `-p reduction=sample -p lambda_m=1.06`.

# %% [markdown] tags=["exercise"]
# ## control: which control changes one thing only?
#
# *8 minutes.* The paper shuffles a target's pixels and concludes from the loss of robustness that the *picture* matters.
# The next cell measures four possible controls beside the own map: how **rough** a map is (mean squared difference of
# neighbours over twice its variance: 1 for pixels in random order), how much it is like the **own map** of the image, and
# how much like the mean map of its **class** (cosines).
#
# You want to know whether it matters that a map belongs to *this image*, everything else being as equal as possible.
# Which control do you take? Answer: `chosen`, one of "a", "b", "c", "d".

# %%
def described(of):
    flat, own = of.flatten(1), maps.flatten(1)
    jump = (of[..., 1:] - of[..., :-1]).square().flatten(1).mean(1) / (2 * flat.var(1))
    means = torch.stack([own[y_train == label].mean(0) for label in range(10)])[y_train]
    alike = [F.cosine_similarity(flat, other).mean().item() for other in (own, means)]
    return {"rough": jump.mean().item(), "like the own map": alike[0], "like its class": alike[1]}


def at_another_image(among):
    return maps[saliency.other_images(y_train, among, generator=draw)]


controls = {
    "the own map": maps,
    "a: its pixels shuffled": saliency.permute(maps, 1.0, generator=draw),
    "b: the map of another image, of the same class": at_another_image("same_class"),
    "c: the map of another image, of any class": at_another_image("any"),
    "d: the image itself minus the mean image": x_train - images.x_train.mean(0),
}
pd.DataFrame({name: described(of) for name, of in controls.items()}).T.round(2)

# %% tags=["stub"]
# exercise control
chosen = ...

# %% tags=["solution"]
# exercise control
chosen = "b"

# %% tags=["wrong"]
# exercise control
chosen = "a"

# %% tags=["wrong"]
# exercise control
chosen = "c"

# %% tags=["wrong"]
# exercise control
chosen = "d"

# %% tags=["check"]
# check control
hints = {
    "a": "compare its roughness with the own map's: shuffling takes away more than the picture",
    "c": "look at the last column: it says less of the class too",
    "d": "it belongs to this image; what it leaves out is the teacher",
}
assert chosen in ("a", "b", "c", "d"), 'answer with one of "a", "b", "c", "d"'
assert chosen == "b", hints.get(chosen)

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** “a”, since it is the paper's. It changes the smoothness, the class and the image at once, so
# that it cannot say which of them mattered.
#
# **Ask next.** What would you conclude if b were as good as the own map? (That the net is helped by a smooth map
# of the class.) The chapter's table IR-K trains all four. And d, if it were as good? (That no robust teacher is needed.)
