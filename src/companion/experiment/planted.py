"""Remove and retrain on maps whose worth is known: does the score measure (ours)?"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from companion import metrics, saliency
from companion.data import Images
from companion.experiment.retraining import SCORES
from companion.training import Recipe, stacked, train

#: Fractions of the pixels that are replaced: less than a random order can spare, more than the label takes.
FRACTIONS = (0.4, 0.8)


def planted_images(like: Images, *, count: int, seed: int) -> tuple[Images, Tensor]:
    """Noise that knows one thing, its label, and the map that marks where it is: images, (1, C, H, W).

    All classes together have a tenth of the pixels, at least one each, from the first on; an image is white
    in those of its class and black in those of the others. The other pixels are uniform in [0.48, 0.52].
    like: shape and classes are taken from it. count: training images, and half as many test images.
    """
    generator = torch.Generator().manual_seed(seed)
    shape, classes = like.x_test.shape[1:], like.n_classes
    each = max(1, shape[1] * shape[2] // (10 * classes))
    sets = []
    for n in (count, count // 2):
        x = 0.48 + 0.04 * torch.rand(n, *shape, generator=generator)
        y = torch.arange(n) % classes
        white = torch.nn.functional.one_hot(y, classes).repeat_interleave(each, 1).float()
        x.flatten(2)[:, :, : each * classes] = white[:, None]
        sets += [x.to(like.x_test.device), y.to(like.y_test.device)]
    marks = torch.zeros(1, *shape, device=like.x_test.device)
    marks.flatten(2)[:, :, : each * classes] = 1
    named = zip(("x_train", "y_train", "x_test", "y_test"), sets, strict=True)
    return replace(like, **dict(named)), marks


def planted_scores(
    like: Images, recipe: Recipe, *, count: int, fractions: Sequence[float] = FRACTIONS, unit: str = "pixel"
) -> list[dict[str, object]]:
    """mu of the map that marks a planted label, in points of accuracy and as a fraction of the largest mu.

    Largest: all nets at chance under ROAR, all perfect under KAR; NaN where it is 0, as of nets that learnt
    nothing.
    recipe: of the nets that are retrained; its data and mask do not count, its seed draws everything.
    Rows: metric, quantity ("mu" or "fraction of the largest") and value.
    """
    of, marks = planted_images(like, count=count, seed=recipe.seed)
    generator = torch.Generator(marks.device).manual_seed(recipe.seed)
    asked = [(m, remove) for m, remove in ((marks, "largest"), (marks, "smallest"), (None, "largest"))]
    sets = [_masked(of, m, q, remove, unit, generator) for m, remove in asked for q in fractions]
    accuracies = [
        metrics.fraction_correct(net, on) for net, on in zip(_nets(recipe, sets), sets, strict=True)
    ]
    planted_roar, planted_kar, random = torch.tensor(accuracies).view(len(asked), len(fractions), 1)
    chance = 1 / like.n_classes
    best = {"ROAR": torch.full_like(random, chance), "KAR": torch.ones_like(random)}
    rows: list[dict[str, object]] = []
    for metric, curve in (("ROAR", planted_roar), ("KAR", planted_kar)):
        mu, largest = (
            100 * SCORES[metric](fractions, of_map, random, ends=(1.0, chance)).item()
            for of_map in (curve, best[metric])
        )
        rows.append({"metric": metric, "quantity": "mu", "value": mu})
        rows.append(
            {"metric": metric, "quantity": "fraction of the largest", "value": mu / (largest or math.nan)}
        )
    return rows


def _masked(
    of: Images, marks: Tensor | None, fraction: float, remove: str, unit: str, generator: torch.Generator
) -> Images:
    fill, masked = saliency.fill_value(of.x_train, "channel_mean"), []
    for x in (of.x_train, of.x_test):
        maps = torch.zeros_like(x) if marks is None else marks.expand_as(x)
        places = saliency.ranks(maps, unit=unit, generator=generator)
        masked.append(saliency.masked(x, places, fraction, remove=remove, fill=fill))
    return replace(of, x_train=masked[0], x_test=masked[1])


def _nets(recipe: Recipe, sets: Sequence[Images]) -> list[torch.nn.Module]:
    recipes = [replace(recipe, mask=None, seed=recipe.seed + i) for i in range(len(sets))]
    if stacked.kind(recipe) is None:
        return [train(one, on)[0] for one, on in zip(recipes, sets, strict=True)]
    return [result[0] for result in stacked.train(recipes, sets)]
