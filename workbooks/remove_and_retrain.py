# %% [markdown]
# # Workbook: remove and retrain
#
# ROAR removes the pixels that a map ranks first, retrains a net on what is left and calls the map good if the net has become bad. At the end of this workbook you will have written the mask, beaten a net's own maps with one order for all images, read a net's decisions off masks that show nothing, and fooled KAR, the mirror image of ROAR, with maps that have never seen a pixel.
#
# About 60 minutes. The chapter is [Remove and retrain](../book/notebooks/remove_and_retrain.html). Pixels lie in $[0, 1]$.
#
# An answer stands in a cell that begins with `# exercise NAME`; keep that line. Write in place of `...`, run the cell, save the notebook, and let `companion workshop check` with the notebook's path say which answers are right.

# %% tags=["parameters"]
seed: int = 0  # of the net, of random orders and of the retrained nets
fraction: float = 0.9  # of the pixels that are replaced; the exercises are made for 0.7 to 0.9
shown: int = 20  # images that are counted in the second exercise

# %%
from dataclasses import replace

import torch

from companion import metrics, plots, saliency, store
from companion.publishing.workshop.workbook import reveal
from companion.training import Recipe, part, train

of_images = part("mnist_small", n_train=600)
images = store.images(of_images, "cpu")
adam = {"optimiser": part("Adam", lr=0.003), "schedule": "constant", "batch_size": 100}
recipe = Recipe(data=of_images, model=part("mlp", hidden=(64, 64)), epochs=15, **adam, seed=seed)
net = store.get(recipe)

# %% [markdown]
# `own_train` and `own_test` are the net's own maps: the gradient of the cross-entropy for the *predicted* class, image by image. `decided_train` and `decided_test` are the predictions.

# %%
own_train, own_test = (
    saliency.loss_gradient(net, x, y)
    for x, y in ((images.x_train, images.y_train), (images.x_test, images.y_test))
)
with torch.no_grad():
    decided_train, decided_test = net(images.x_train).argmax(1), net(images.x_test).argmax(1)
fill = saliency.fill_value(
    images.x_train, "channel_mean"
)  # takes the place of a removed pixel, (1, 1, 1)

# %% [markdown]
# `masked` cuts masks from maps, and `left` is the test accuracy, in per cent, of a net retrained and tested on masked images: with `remove="largest"` the pixels ranked first are gone (ROAR), with `remove="smallest"` the last ones (KAR).

# %%
def masked(x, maps, remove="largest", shows="image"):
    generator = torch.Generator().manual_seed(seed)
    places = saliency.ranks(maps.expand_as(x), generator=generator)
    return saliency.masked(x, places, fraction, remove=remove, fill=fill, shows=shows)


def left(maps_train, maps_test, remove="largest"):
    x_train = masked(images.x_train, maps_train, remove)
    x_test = masked(images.x_test, maps_test, remove)
    seen = replace(images, x_train=x_train, x_test=x_test)
    retrained, _ = train(replace(recipe, epochs=8, seed=1000 + seed), seen)
    return 100 * metrics.fraction_correct(retrained, seen)

# %% [markdown] tags=["exercise"]
# ## roar: write ROAR's mask
#
# *12 minutes.* A pixel's score is the absolute value of the map, summed over the channels. In every image the `round(fraction * H * W)` pixels with the largest scores are replaced, in all channels, by `fill`.
#
# Write `remove_first(x, maps, fraction, fill)` with images and maps (B, C, H, W) and fill (C, 1, 1), without `saliency.masked`. It returns new images and leaves `x` alone.

# %% tags=["stub"]
# exercise roar
def remove_first(x, maps, fraction, fill):
    """x with round(fraction * H * W) pixels of every image replaced, largest scores first."""
    ...

# %% tags=["solution"]
# exercise roar
def remove_first(x, maps, fraction, fill):
    """x with round(fraction * H * W) pixels of every image replaced, largest scores first."""
    scores = maps.abs().sum(1).flatten(1)
    count = round(fraction * scores.shape[1])
    first = scores.argsort(dim=1, descending=True)[:, :count]
    gone = torch.zeros_like(scores).scatter(1, first, 1.0) == 1
    return torch.where(gone.view(len(x), 1, *x.shape[2:]), fill, x)

# %% tags=["wrong"]
# exercise roar
def remove_first(x, maps, fraction, fill):
    scores = maps.sum(1).flatten(1)  # large negative gradients count as small
    first = scores.argsort(dim=1, descending=True)[:, : round(fraction * scores.shape[1])]
    gone = torch.zeros_like(scores).scatter(1, first, 1.0) == 1
    return torch.where(gone.view(len(x), 1, *x.shape[2:]), fill, x)

# %% tags=["wrong"]
# exercise roar
def remove_first(x, maps, fraction, fill):
    scores = maps.abs().sum(1, keepdim=True)
    threshold = scores.flatten().quantile(1 - fraction)  # one threshold for the whole batch
    return torch.where(scores > threshold, fill, x)

# %% tags=["wrong"]
# exercise roar
def remove_first(x, maps, fraction, fill):
    scores = maps.abs().flatten(1)  # every channel on its own
    first = scores.argsort(dim=1, descending=True)[:, : round(fraction * scores.shape[1])]
    gone = torch.zeros_like(scores).scatter(1, first, 1.0) == 1
    return torch.where(gone.view_as(x), fill, x)

# %% tags=["check"]
# check roar
_generator = torch.Generator().manual_seed(seed)
_x = torch.rand(6, 3, 9, 7, generator=_generator)
_maps = torch.randn(_x.shape, generator=_generator) * torch.arange(1.0, 7.0).view(-1, 1, 1, 1)
_fill = torch.tensor([-1.0, -2.0, -3.0]).view(3, 1, 1)
_before = _x.clone()
_found = remove_first(_x, _maps.clone(), fraction, _fill)
assert torch.is_tensor(_found) and _found.shape == _x.shape, "return images of the same shape"
assert _x.equal(_before), "x itself was changed: work on a copy"
_gone = _found != _before
assert (_gone.all(1) == _gone.any(1)).all(), "a pixel goes in all its channels or in none"
_count = round(fraction * 63)
assert (_gone[:, 0].flatten(1).sum(1) == _count).all(), (
    f"not every image lost {_count} of its 63 pixels: the count is per image, whatever the map's "
    "scale"
)
_places = saliency.ranks(_maps, generator=_generator)
_right = saliency.masked(_before, _places, fraction, fill=_fill)
assert _found.equal(_right), "the wrong pixels went: large means far from zero, on either side"

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The sign is kept, so that half of the important pixels rank last; one threshold is taken for the whole batch, so that images with large gradients lose everything; channels are ranked on their own, which is what Hooker et al. do and this paper does not.
#
# **Ask next.** What should happen to ties? A black background has many. (The package breaks them at random.)

# %% [markdown] tags=["exercise"]
# ## never: what do many different masks hide?
#
# *6 minutes.* Give each of `shown` images a random mask of its own that hides every pixel with probability `fraction`. How many of the 784 pixels are, on average, hidden in *all* of these images?
#
# Answer: `never`, a number of pixels, right to one per cent. Compare it with one mask that is the same for all images: that hides `fraction * 784` pixels for good.

# %% tags=["stub"]
# exercise never
never = ...

# %% tags=["solution"]
# exercise never
never = 784 * fraction**shown

# %% tags=["wrong"]
# exercise never
never = 784 * fraction  # of one image

# %% tags=["wrong"]
# exercise never
never = 784 * (1 - fraction) ** shown  # never hidden

# %% tags=["wrong"]
# exercise never
never = 784 * (1 - fraction**shown)  # seen at least once

# %% tags=["check"]
# check never
_right, _given = 784 * fraction**shown, float(never)
if abs(_given / _right - 1) > 0.01:
    assert abs(_given / (784 * fraction) - 1) > 0.01, "that is the number hidden in one image"
    assert abs(_given / (784 - _right) - 1) > 0.01, "that is how many are seen at least once"
    raise AssertionError("for one pixel: with which probability is it hidden in every image?")

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The two probabilities are exchanged, or the complement is given.
#
# **Ask next.** How many are left after 600 training images? (None.) So a retrained net has seen every pixel somewhere, and a map that differs from image to image removes *evidence in this image*, never a pixel. Count it for the net's own maps: `(masked(images.x_train, own_train, shows="mask").sum(0) == 0).sum()`.

# %% [markdown]
# **Predict.** `fraction` of the pixels go. Which order leaves a retrained net with *less* accuracy: the net's own maps, largest gradients first, or a random order, drawn anew for each image?

# %% tags=["stub"]
# predict worse
prediction = ...  # "own" or "random"

# %% tags=["solution"]
# predict worse
prediction = "own"

# %%
def picture():
    generator = torch.Generator().manual_seed(seed)
    random = [torch.rand(x.shape, generator=generator) for x in (images.x_train, images.x_test)]
    told = f"own maps {left(own_train, own_test):.0f} %, a random order {left(*random):.0f} %"
    few = plots.one_of_each(images.y_test, 6)
    rows = [("image", images.x_test[few])]
    rows += [
        (n, masked(images.x_test, m)[few]) for n, m in (("own", own_test), ("random", random[1]))
    ]
    fig = plots.gallery([(name, list(pictures)) for name, pictures in rows], pixels="all")
    finding = (
        f"{fraction:.0%} of the pixels gone. Accuracy of a net retrained on such images: {told}."
    )
    return plots.show(fig, alt="Six images, whole and masked in two ways.", finding=finding)

# %%
reveal(prediction, picture)

# %% [markdown] tags=["exercise"]
# ## outrank: beat the net's own maps
#
# *10 minutes.* Find **one** order for all images that does more harm: at most two fifths of the accuracy that the net's own maps leave. Try orders with `left(order, order)`.
#
# Answer: `order`, a tensor (1, 28, 28); the pixels with the largest values go first. You may use everything of the training images and of the net, but no test image.

# %% tags=["stub"]
# exercise outrank
order = ...

# %% tags=["solution"]
# exercise outrank
order = images.x_train.std(0)  # the pixels that vary most, whatever a net says

# %% tags=["wrong"]
# exercise outrank
order = own_train.abs()  # one order for each image

# %% tags=["wrong"]
# exercise outrank
order = -images.x_train.std(0) + images.x_train.std(0).max()  # the dull pixels first

# %% tags=["wrong"]
# exercise outrank
order = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(1))

# %% tags=["check"]
# check outrank
assert torch.is_tensor(order) and order.shape == (1, 28, 28), (
    "one order for all images: a tensor (1, 28, 28)"
)
assert order.isfinite().all(), "the order holds values that are not finite"
_theirs, _own = left(order, order), left(own_train, own_test)
assert _theirs <= 0.4 * _own, (
    f"your order leaves {_theirs:.0f} %, the net's own maps {_own:.0f} %. Which pixels could any "
    "net use, in whatever image? You need not ask a gradient"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** Some look for better gradients. The spread of the pixels over the training images does it, and it asks no net; the mean of $|g|$ often does it too.
#
# **Ask next.** Did we find a better *explanation*? An order that is the same for all images explains none of them. So what does ROAR reward? (It leaves nothing to work with, and its holes tell nothing. The last exercise of this workbook goes on from there.)

# %% [markdown] tags=["exercise"]
# ## read: what do the holes tell?
#
# *15 minutes.* Forget the images. `masked(x, maps, shows="mask")` is 1 where a pixel stays and 0 where it goes. Read the net's decision off such masks alone.
#
# Write `read(masks_train, decided_train, masks_test)`: the decision for every test mask, an integer tensor (M,). Masks are (N, 1, 28, 28). It has to be right for three fifths of the masks; ten decisions are possible. A simple method is enough: compare a mask with the average mask of each decision.

# %% tags=["stub"]
# exercise read
def read(masks_train, decided_train, masks_test):
    """The decisions that belong to the test masks, (M,), learnt from the training masks."""
    ...

# %% tags=["solution"]
# exercise read
def read(masks_train, decided_train, masks_test):
    """The decisions that belong to the test masks, (M,), learnt from the training masks."""
    averages = torch.stack([masks_train[decided_train == k].mean(0).flatten() for k in range(10)])
    return torch.cdist(masks_test.flatten(1), averages).argmin(1)

# %% tags=["wrong"]
# exercise read
def read(masks_train, decided_train, masks_test):
    return decided_train.mode().values.expand(len(masks_test))  # the most common one

# %% tags=["wrong"]
# exercise read
def read(masks_train, decided_train, masks_test):
    averages = torch.stack([masks_train[decided_train == k].mean(0).flatten() for k in range(10)])
    return torch.cdist(masks_test.flatten(1), averages).argmax(1)  # the farthest

# %% tags=["wrong"]
# exercise read
def read(masks_train, decided_train, masks_test):
    averages = torch.stack([masks_train[decided_train == k].mean(0).flatten() for k in range(10)])
    return torch.cdist(masks_test.flatten(1), averages)  # distances, not decisions

# %% tags=["check"]
# check read
_masks = [
    masked(x, m, shows="mask") for x, m in ((images.x_train, own_train), (images.x_test, own_test))
]
_found = read(_masks[0].clone(), decided_train.clone(), _masks[1].clone())
assert torch.is_tensor(_found) and _found.shape == (len(_masks[1]),), (
    "return one decision for each test mask"
)
_share = (_found.long() == decided_test).double().mean().item()
assert _share >= 0.6, (
    f"right for {_share:.0%} of the masks: where are the holes, on average, when the net decides "
    "for a class?"
)
_generator = torch.Generator().manual_seed(seed)
_random = [torch.rand(x.shape, generator=_generator) for x in (images.x_train, images.x_test)]
_masks = [
    masked(x, m, shows="mask")
    for x, m in zip((images.x_train, images.x_test), _random, strict=True)
]
_share = (
    (read(_masks[0], decided_train.clone(), _masks[1]).long() == decided_test)
    .double()
    .mean()
    .item()
)
assert _share < 0.3, (
    "it reads decisions off random masks too: it must look at nothing but the masks"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** Little, and that is the finding: the average mask of each class is enough for most of the decisions. The maps are those of the *predicted* class, on test images too.
#
# **Ask next.** Is it the decision that is read, or the digit, whose outline shows in the map? (Ask for the images on which the net is wrong: the chapter does, with the mask of *another* image of the same decision.) What does a retrained net do with a hole that tells it the answer?

# %% [markdown] tags=["exercise"]
# ## spell: fool KAR
#
# *12 minutes.* KAR keeps the pixels that a map ranks first and removes the rest; the more accuracy is left, the better the map. Make maps that get a better score than the net's own ones **without looking at an image**: only the decisions are given.
#
# Write `spell(decisions)`, (N,) integers from 0 to 9, which returns maps (N, 1, 28, 28). The retrained net has to reach 95 % of the accuracy of `net` itself, although `fraction` of the pixels are gone. Try it: `left(spell(decided_train), spell(decided_test), remove="smallest")`.

# %% tags=["stub"]
# exercise spell
def spell(decisions):
    """Maps (N, 1, 28, 28) made of the decisions (N,) alone."""
    ...

# %% tags=["solution"]
# exercise spell
def spell(decisions):
    """Maps (N, 1, 28, 28) made of the decisions (N,) alone."""
    patterns = torch.rand(
        10, 1, 28, 28, generator=torch.Generator().manual_seed(0)
    )  # one for each class
    return patterns[decisions]

# %% tags=["wrong"]
# exercise spell
def spell(decisions):
    return (
        (decisions / 9).view(-1, 1, 1, 1).expand(-1, 1, 28, 28)
    )  # says the class, but orders no pixels

# %% tags=["wrong"]
# exercise spell
def spell(decisions):
    return torch.rand(len(decisions), 1, 28, 28)  # a new pattern for each image

# %% tags=["wrong"]
# exercise spell
def spell(decisions):
    middle = torch.zeros(1, 28, 28)
    middle[:, 9:19, 9:19] = 1  # the same for all
    return middle.expand(len(decisions), 1, 28, 28)

# %% tags=["check"]
# check spell
_maps = [spell(d.clone()) for d in (decided_train, decided_test)]
for _m, _d in zip(_maps, (decided_train, decided_test), strict=True):
    assert torch.is_tensor(_m) and _m.shape == (len(_d), 1, 28, 28), (
        "return one map (1, 28, 28) a decision"
    )
_theirs = left(*(m.float() for m in _maps), remove="smallest")
_whole = 100 * (decided_test == images.y_test).double().mean().item()
assert _theirs >= 0.95 * _whole, (
    f"the retrained net reaches {_theirs:.0f} %, the net on whole images {_whole:.0f} %. A mask "
    "keeps only the order of a map's pixels: what in it tells one decision from another, in "
    "every image anew?"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** The class is written into the map's *size*, which a ranking forgets; or the pattern is drawn anew for each image.
#
# **Ask next.** What does ROAR say of these maps? (Accuracy stays just as high, so ROAR calls them bad: the two scores of one paper disagree about maps that know everything of the decision and nothing of the image.)

# %% [markdown] tags=["exercise"]
# ## compare: which comparison could have told?
#
# *5 minutes.* A score can praise a map for two things: for knowing which pixels matter *in this image*, and for spelling what the net decided. With which of these should one compare a map, so that the second does not count?
#
# - "a": a random order, a new one for each image
# - "b": one order for all images, by how much the pixels vary
# - "c": the same maps, exchanged among images of the same predicted class
# - "d": the same maps, exchanged among all images
#
# Answer: `control`, one of these letters.

# %% tags=["stub"]
# exercise compare
control = ...

# %% tags=["solution"]
# exercise compare
control = "c"

# %% tags=["wrong"]
# exercise compare
control = "a"

# %% tags=["wrong"]
# exercise compare
control = "b"

# %% tags=["wrong"]
# exercise compare
control = "d"

# %% tags=["check"]
# check compare
assert control in ("a", "b", "c", "d"), 'answer "a", "b", "c" or "d"'
_patterns = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
_spelt, _generator = _patterns[decided_test], torch.Generator().manual_seed(seed)
_others = {
    "a": torch.rand(_spelt.shape, generator=_generator),
    "b": images.x_train.std(0).expand_as(_spelt),
    "c": _spelt[saliency.other_images(decided_test, "same_class", generator=_generator)],
    "d": _spelt[saliency.other_images(decided_test, "any", generator=_generator)],
}
_same = (_others[control] == _spelt).flatten(1).all(1).double().mean().item()
assert _same == 1, (
    "take maps that spell the decision and know nothing else, as in the last exercise: they must "
    f"come out equal to what you compare them with. With your control {_same:.0%} of the maps "
    "are equal"
)

# %% [markdown] tags=["instructor"]
# **What goes wrong.** "d" is tempting. It keeps everything about the maps' look, but after the exchange a map no longer spells the decision on *this* image, so the own maps win by the leak.
#
# **Ask next.** What does "c" still not hold fixed? (The outline of the object where the net is wrong or unsure, and anything else that maps of one class share. See *own − another's* in the chapter.)
