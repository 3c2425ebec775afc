# %% [markdown]
# # Exercises: Noise Modulation
#
# About an hour, six exercises and a prediction. At the end you will have written the modulation and the paper's score,
# seen why its curves are flat on the left, and found a map that looks at no image and beats every net. The chapter is
# [Noise Modulation](../book/notebooks/noise_modulation.html).
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell,
# save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
dataset: str = "mnist_small"  # one of mnist_small, mnist, fashion_mnist: the images
seed: int = 0  # of the nets and of the noise
beta: float = 0.5  # in [0, 1): fraction of the constant in the carrier
share: float = 0.95  # in (0.5, 1): part of the largest noise that counts as the plateau

# %%
import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from companion import data, metrics, store, transforms
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, part

images = data.load(dataset, n_train=1200, n_test=500)
x, y, mean = images.x_test, images.y_test, images.x_train.mean(0)
centre, scale = (round(of.item(), 4) for of in (images.x_train.mean(), images.x_train.std()))


def trained(inputs=None):
    """The chapter's perceptron, trained on images changed by `inputs`: seconds the first time."""
    normal = {"mean": (centre,), "std": (scale,)}
    about = {"data": part(dataset, n_train=1200), "model": part("mlp", **normal), "inputs": inputs}
    how = {"optimiser": part("Adam", lr=0.004), "epochs": 8, "batch_size": 64, "seed": seed}
    return store.get(Recipe(**about, **how))


plain = trained()
modulation = part("noise_modulation", carrier="gaussian", beta=beta, centre=(centre,))
nets = {"standard": plain, "noise modulation": trained(modulation)}
gradients = {name: metrics.log_odds_gradient(net, x, y) for name, net in nets.items()}
print(f"{images.label}: {len(x)} test images, gradients of {', '.join(nets)}")

# %% [markdown] tags=["exercise"]
# ## modulated: multiply an image by noise
#
# *12 minutes.* The paper's eq. 7 and 10. With noise $\delta$ shaped like the images, $s = 1 - \beta$ and
# $c = \beta + s\,\delta$, an image is multiplied by
#
# $$m_n = \frac{N\,c_n^2}{\sum_k c_k^2},$$
#
# where the sum is over the $N$ numbers of *this image*, so that $m$ has the mean 1. The net sees normalised pixels, so
# what is multiplied is the image less a `centre`: $x' = \text{centre} + m \odot (x - \text{centre})$.
#
# Write `modulated(x, noise, beta, centre)`, about five lines; `x` and `noise` are (B, C, H, W), `centre` a number. Nothing
# is clipped. Do not call `companion.transforms`.

# %% tags=["stub"]
# exercise modulated
def modulated(x, noise, beta, centre):
    """The images x around centre, each times m: shaped like x."""
    ...

# %% tags=["solution"]
# exercise modulated
def modulated(x, noise, beta, centre):
    carrier = beta + (1 - beta) * noise
    power = carrier.square()
    m = power / power.mean((1, 2, 3), keepdim=True)
    return centre + m * (x - centre)

# %% tags=["wrong"]
# exercise modulated
def modulated(x, noise, beta, centre):  # the carrier once: modulated, not demodulated
    carrier = beta + (1 - beta) * noise
    return centre + carrier / carrier.mean((1, 2, 3), keepdim=True) * (x - centre)

# %% tags=["wrong"]
# exercise modulated
def modulated(x, noise, beta, centre):  # one mean for the whole batch
    power = (beta + (1 - beta) * noise) ** 2
    return centre + power / power.mean() * (x - centre)

# %% tags=["wrong"]
# exercise modulated
def modulated(x, noise, beta, centre):  # around black: the background is never modulated
    power = (beta + (1 - beta) * noise) ** 2
    return power / power.mean((1, 2, 3), keepdim=True) * x

# %% tags=["wrong"]
# exercise modulated
def modulated(x, noise, beta, centre):  # clipped to be an image again
    power = (beta + (1 - beta) * noise) ** 2
    m = power / power.mean((1, 2, 3), keepdim=True)
    return (centre + m * (x - centre)).clamp(0, 1)

# %% tags=["check"]
# check modulated
few = x[:20]
noise = torch.randn(few.shape, generator=torch.Generator().manual_seed(seed))
noise[10:] *= 3  # images of a batch may have carriers of different power
made = modulated(few, noise, beta, centre)
assert isinstance(made, torch.Tensor) and made.shape == few.shape, "return images, shaped like x"
told = "beta = 1 is standard training: every image comes back as it was"
assert (modulated(few, noise, 1.0, centre) - few).abs().max() < 1e-5, told
background = modulated(torch.zeros_like(few), noise, beta, 0.5)
told = "a black pixel differs from the centre, so it is modulated as well"
assert background.std() > 1e-3, told
found = (background - 0.5) / -0.5
told = "nothing is clipped: what is too bright or too dark stays so"
assert found.max() > 1.5 and made.min() < 0, told
told = "m is never negative: the carrier multiplies twice, to modulate and to demodulate"
assert found.min() >= -1e-5, told
told = "the mean of m has to be 1 in every image, whatever the others of the batch are"
assert (found.mean((1, 2, 3)) - 1).abs().max() < 1e-3, told
expected = transforms.modulate(few, beta + (1 - beta) * noise, centre=centre)
told = "check c = beta + (1 - beta) * noise, and what is squared"
assert (made - expected).abs().max() < 1e-3, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** The mean over the batch instead of the image, which looks right with one image and nearly
# right with many pixels; and the centre: around 0 the background of a digit is never touched, and another method is
# trained. The paper's text leaves this choice open.
#
# **Ask next.** How large is the noise on a pixel that is as bright as the centre? (None.) Is the sign of a pixel ever
# changed? (No, $m \ge 0$: this is what the square is for.)

# %% [markdown]
# ## How flat is the paper's figure 4?
#
# The paper's figure 4 sweeps $\beta$ and finds both curves flat below 0.5 or 0.6. What can be flat there is the noise:
# for many pixels, with Gaussian noise, the standard deviation of $m$ is
# $\sqrt{2s^4 + 4\beta^2s^2}\,/\,(\beta^2 + s^2)$ with $s = 1 - \beta$.

# %% [markdown] tags=["exercise"]
# ## plateau: how far does it reach?
#
# *6 minutes.* Up to which $\beta$ is the standard deviation of $m$ at least `share` of its largest value? By a loop or on
# paper. Answer: `plateau_end`, a number in $[0, 1]$, right to 0.01.

# %% tags=["stub"]
# exercise plateau
plateau_end = ...

# %% tags=["solution"]
# exercise plateau
levels = np.linspace(0, 1, 2001)
noise_of = np.array([transforms.modulation_sd("gaussian", level) for level in levels])
plateau_end = levels[noise_of >= share * noise_of.max()].max()

# %% tags=["wrong"]
# exercise plateau
levels = np.linspace(0, 1, 2001)
spread = 2 * (1 - levels) ** 4 + 4 * (levels * (1 - levels)) ** 2
variance = spread / (levels**2 + (1 - levels) ** 2) ** 2
plateau_end = levels[variance >= share * variance.max()].max()  # of the variance

# %% tags=["wrong"]
# exercise plateau
plateau_end = 1 - share  # as if the noise fell in a straight line

# %% tags=["wrong"]
# exercise plateau
plateau_end = 0.5  # read off the paper's figure

# %% tags=["check"]
# check plateau
levels = [i / 2000 for i in range(2001)]
noise_at = [transforms.modulation_sd("gaussian", b) for b in levels]
largest = max(noise_at)
near = [b for b, of in zip(levels, noise_at, strict=True) if of >= share * largest]
expected = max(near)
assert 0 <= plateau_end <= 1, "a fraction of the constant, in [0, 1]"
near = [b for b, of in zip(levels, noise_at, strict=True) if of**2 >= share * largest**2]
squared = max(near)
told = "that is where the variance has fallen so far; asked is the standard deviation"
assert abs(plateau_end - squared) > 0.005 or abs(squared - expected) < 0.01, told
reached = transforms.modulation_sd("gaussian", min(max(float(plateau_end), 0.0), 1.0)) / largest
told = f"there the noise has {reached:.3f} of its largest value; plot the formula from 0 to 1"
assert abs(plateau_end - expected) < 0.01, told

# %% [markdown] tags=["instructor"]
# 0.40 with the defaults. **What usually goes wrong.** 0.5, which is what the paper's figure shows of accuracy and VII; at
# 0.5 the noise has 87 % of its largest value.
#
# **Ask next.** Why is it not infinite at $\beta = 0$? (Demodulation divides by the carrier's own power: larger noise makes
# nothing larger.) Which $\beta$ would you sweep, knowing this?

# %% [markdown] tags=["exercise"]
# ## score: the paper's VII
#
# *10 minutes.* Eq. 11: with $d = \operatorname{sign}(x - \bar x)$ and $g$ the signs of a map, VII of an image is
# $|\langle d, g\rangle| / (\lVert d\rVert\,\lVert g\rVert)$. Write `score(maps, x, mean)`, about five lines. It returns one
# number *for each image*, in $[0, 1]$; `maps` are (B, C, H, W), or (1, C, H, W) for one map that is held against every
# image. The sign of 0 is 0.

# %% tags=["stub"]
# exercise score
def score(maps, x, mean):
    """VII of each image: (B,)."""
    ...

# %% tags=["solution"]
# exercise score
def score(maps, x, mean):
    d = (x - mean).sign().flatten(1)
    g = maps.sign().expand_as(x).flatten(1)
    return (d * g).sum(1).abs() / (d.norm(dim=1) * g.norm(dim=1)).clamp(min=1)

# %% tags=["wrong"]
# exercise score
def score(maps, x, mean):  # opposite signs count against the image
    return F.cosine_similarity((x - mean).sign().flatten(1), maps.sign().expand_as(x).flatten(1))

# %% tags=["wrong"]
# exercise score
def score(maps, x, mean):  # magnitudes
    return F.cosine_similarity((x - mean).flatten(1), maps.expand_as(x).flatten(1)).abs()

# %% tags=["wrong"]
# exercise score
def score(maps, x, mean):  # the signs of the image, which is nowhere negative
    return F.cosine_similarity(x.sign().flatten(1), maps.sign().expand_as(x).flatten(1)).abs()

# %% tags=["wrong"]
# exercise score
def score(maps, x, mean):  # the mean before the absolute value
    d, g = (x - mean).sign().flatten(1), maps.sign().expand_as(x).flatten(1)
    return F.cosine_similarity(d, g).mean().abs().expand(len(x))

# %% tags=["check"]
# check score
some = gradients["standard"]
value = score(some, x, mean)
assert isinstance(value, torch.Tensor) and value.shape == (len(x),), "one number for each image"
told = "opposite signs count as much as equal ones: where does eq. 11 have its bars?"
assert value.min() >= 0, told
assert value.max() <= 1 + 1e-5, "the score is a cosine's size: at most 1"
told = "a map that is ten times as large somewhere has the same signs"
assert (score(some * (1 + 9 * (x > 0.5)), x, mean) - value).abs().max() < 1e-4, told
told = "the absolute value is taken image by image, before any mean"
assert value.std() > 1e-4, told
expected = metrics.sign_cosine(some, x, mean=mean)
told = "whose signs? those of the image less its mean, not of the image"
assert (value - expected).abs().max() < 1e-4, told
told = "one map for all images has to work too, such as torch.ones_like(x[:1])"
one = score(torch.ones_like(x[:1]), x, mean)
assert (one - metrics.constant_sign_vii(x, mean=mean)).abs().max() < 1e-4, told

# %% [markdown] tags=["instructor"]
# **What usually goes wrong.** The absolute value is forgotten or comes after the mean. It is what makes the score positive
# for every map, even one of random signs, so that VII has no natural zero (NM-E3).
#
# **Ask next.** What does a map of independent random signs score? ($\sqrt{2/(\pi N)}$, about 0.028 on 28×28 pixels.) Is it
# a fair level for a gradient? (No: gradients are smooth, and smooth random maps score more.)

# %% [markdown]
# ## Predict
#
# What will the gradients of the noise-modulated net score on the test images, the mean of VII? And what will one sign at
# *every* pixel score, a map without any picture in it? Two numbers between 0 and 1.

# %% tags=["stub"]
# predict levels
predicted = ...  # a pair such as (0.4, 0.2): the net's VII, and that of one sign everywhere

# %% tags=["solution"]
# predict levels
predicted = (0.5, 0.0)  # for example

# %%
def level(maps):
    """Mean VII of maps, or of one map for all, over the test images."""
    return metrics.sign_cosine(maps, x, mean=mean).mean().item()


# %%
def compared():
    rows = {f"{name} net": level(of) for name, of in gradients.items()}
    without = {name: metrics.random_phases(of) for name, of in gradients.items()}
    rows |= {f"{name} net, random phases": level(of) for name, of in without.items()}
    rows["one sign everywhere"] = level(torch.ones_like(x[:1]))
    return pd.DataFrame({"VII": rows}).round(3)


reveal(predicted, compared)

# %% [markdown] tags=["exercise"]
# ## blind: the best guess without looking
#
# *12 minutes.* One sign everywhere scores what it does because most pixels of most images are darker than their mean. Do
# better: make *one* map, from the training images, that is held against every test image. It has to make up
# four fifths of the distance between one sign everywhere and the best map that we know, which on small MNIST scores 0.69.
# Answer: `blind`, a tensor (C, H, W). Two to six lines; `level(blind[None])` says where you are.
#
# A map may also say *nothing* at a pixel: the sign of 0 is 0, and shortens $\lVert g\rVert$.

# %% tags=["stub"]
# exercise blind
blind = ...

# %% tags=["solution"]
# exercise blind
majority = (images.x_train - mean).sign().mean(0)  # from -1, always darker, to 1, always brighter
blind = torch.where(majority.abs() > 0.5, majority.sign(), 0.0)

# %% tags=["wrong"]
# exercise blind
blind = mean  # positive but where it is 0

# %% tags=["wrong"]
# exercise blind
blind = -torch.ones_like(mean)

# %% tags=["wrong"]
# exercise blind
blind = (images.x_train - mean).sign().mean(0).sign()  # even where both are as frequent

# %% tags=["wrong"]
# exercise blind
blind = (images.x_train - mean).mean(0)  # zero, but for rounding

# %% tags=["check"]
# check blind
blind = torch.as_tensor(blind)
assert blind.shape == mean.shape, f"one map shaped like one image, {tuple(mean.shape)}"
signs = (images.x_train - mean).sign()
majority = (signs / signs.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).mean(0)
sure = majority.abs().flatten().sort(descending=True).values
kept = (sure.cumsum(0) / torch.arange(1, len(sure) + 1).sqrt()).argmax()
best = level(torch.where(majority.abs() >= sure[kept], majority, 0.0)[None])
reached, one_sign = level(blind[None]), level(torch.ones_like(x[:1]))
told = f"{reached:.3f}, no more than one sign everywhere: on which side of the mean are "
assert reached > one_sign + 0.005, told + "most training images?"
told = f"it scores {reached:.3f}; where is it better to say nothing than to guess?"
assert reached >= one_sign + 0.8 * (best - one_sign), told

# %% [markdown] tags=["instructor"]
# 0.69 with the defaults, where both nets score about 0.1. **What usually goes wrong.** The mean of $x - \bar x$ is zero by
# definition; what counts is the *majority* of the signs. A majority at every pixel gains little: where
# both signs are about as frequent, a guess lengthens $g$ and adds nothing.
#
# **Ask next.** A picture of no image beats both nets several times. Does it follow that VII measures nothing? (No, that it
# must be read as own image minus others, as the chapter does: this map has about 0 there.)

# %% [markdown] tags=["exercise"]
# ## phases: as smooth, and no image in it
#
# *15 minutes.* A fair level for a net's gradients is as smooth as they are. Write `phases(maps, generator)`: each map keeps
# the *amplitudes* of its two-dimensional Fourier transform, and gets random phases, other ones for each map. The result is
# real and shaped like `maps`, (B, 1, H, W). About six lines with `torch.fft`.
#
# A hint that saves time: the phases of a real map are not free, since it has to come out real. White noise is real.

# %% tags=["stub"]
# exercise phases
def phases(maps, generator):
    """Maps with the amplitudes of `maps`, and phases of noise drawn by `generator`."""
    ...

# %% tags=["solution"]
# exercise phases
def phases(maps, generator):
    white = torch.fft.fft2(torch.randn(maps.shape, generator=generator))
    turned = torch.fft.fft2(maps).abs() * white / white.abs()
    return torch.fft.ifft2(turned).real

# %% tags=["wrong"]
# exercise phases
def phases(maps, generator):  # shuffled pixels: the histogram is kept, the spectrum is not
    order = torch.randperm(maps[0].numel(), generator=generator)
    return maps.flatten(1)[:, order].view_as(maps)

# %% tags=["wrong"]
# exercise phases
def phases(maps, generator):  # free phases: the real part has other amplitudes
    angle = 2 * torch.pi * torch.rand(maps.shape, generator=generator)
    return torch.fft.ifft2(torch.polar(torch.fft.fft2(maps).abs(), angle)).real

# %% tags=["wrong"]
# exercise phases
def phases(maps, generator):  # the same phases for all maps
    white = torch.fft.fft2(torch.randn(maps[:1].shape, generator=generator))
    return torch.fft.ifft2(torch.fft.fft2(maps).abs() * white / white.abs()).real

# %% tags=["wrong"]
# exercise phases
def phases(maps, generator):  # amplitudes without phases: every map has its peak in a corner
    return torch.fft.ifft2(torch.fft.fft2(maps).abs()).real

# %% tags=["check"]
# check phases
from torch.fft import fft2

some = gradients["standard"][:60]
some = some[some.flatten(1).norm(dim=1) > 0]
some = some / some.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
made = phases(some, torch.Generator().manual_seed(seed))
told = "return maps, shaped like `maps`"
assert isinstance(made, torch.Tensor) and made.shape == some.shape, told
assert not made.is_complex(), "the maps have to be real"
before, after = (fft2(of).abs() for of in (some, made))
told = "the amplitudes changed: a real map has opposite phases at opposite frequencies"
assert (before - after).norm() < 0.02 * before.norm(), told
again = phases(some, torch.Generator().manual_seed(seed + 1))
told = "nothing is random: two generators gave the same maps"
assert (made - again).norm() > 0.1 * made.norm(), told
twice = phases(some[:1].repeat(2, 1, 1, 1), torch.Generator().manual_seed(seed))
told = "two copies of a map came out alike: new phases for each map"
assert (twice[0] - twice[1]).norm() > 0.1 * twice[0].norm(), told

# %% [markdown] tags=["instructor"]
# Shuffled pixels keep the values and lose the smoothness, phases the other way round: each control keeps one thing.
# **What usually goes wrong.** Free angles and then the real part: half of the power is lost, and not the same half
# everywhere. That the result is real has to be built in.
#
# **Ask next.** Does a map with random phases score nothing in VII? (No, see the table above.) May one keep one draw of
# phases for all maps? (Each map would be allowed, but the maps of different images would then stay alike.)

# %% [markdown] tags=["exercise"]
# ## gentlest: which noise costs least?
#
# *4 minutes.* The paper tries six carriers at the same $\beta$ and reports that Rayleigh noise costs the least accuracy.
# Suppose that only the size of the multiplication mattered, the standard deviation of $m$. Which carrier would then cost
# least at this workbook's `beta`? Answer: `gentlest`, one of "gaussian", "uniform", "laplace", "gamma", "exponential",
# "rayleigh". `transforms.modulation_sd` has a docstring.

# %% tags=["stub"]
# exercise gentlest
gentlest = ...

# %% tags=["solution"]
# exercise gentlest
gentlest = min(transforms.CARRIERS, key=lambda name: transforms.modulation_sd(name, beta))

# %% tags=["wrong"]
# exercise gentlest
gentlest = "rayleigh"

# %% tags=["wrong"]
# exercise gentlest
gentlest = "gaussian"

# %% tags=["check"]
# check gentlest
sizes = {name: transforms.modulation_sd(name, beta) for name in transforms.CARRIERS}
assert gentlest in sizes, f"one of {', '.join(sizes)}"
told = f"its m has the standard deviation {sizes[gentlest]:.2f}: another carrier has a smaller one"
assert gentlest == min(sizes, key=sizes.get), told

# %% [markdown] tags=["instructor"]
# Uniform, with 0.37 at $\beta = 0.5$, and Rayleigh with 0.59: where the paper's ordering holds, something else than the size
# matters too. **Ask next.** Two of the six carriers are the same distribution: which? (Gamma(1, 1) is Exponential(1).) What is
# the difference between these two good for? (It is an error bar for the whole figure.)
