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
#: In how many places of an image the label may stand.
PLACES = 4


def planted_images(like: Images, *, count: int, seed: int) -> tuple[Images, tuple[Tensor, Tensor]]:
    """Noise that knows one thing, its label, written in one of four places; and each image's map of where.

    A place has a tenth of the pixels, as many for each class, at least one; an image is white in those of its
    class and black in those of the others, in a place drawn for it. The other pixels, the other places too,
    are uniform in [0.48, 0.52]. The maps are 1 in the image's place, whatever its class, so that a mask does
    not tell the label.
    like: shape and classes are taken from it; fewer places where four do not fit. count: training images,
    and half as many test images. Maps: of the training and of the test images, (N, 1, H, W).
    """
    generator = torch.Generator().manual_seed(seed)
    shape, classes = like.x_test.shape[1:], like.n_classes
    pixels = shape[1] * shape[2]
    each = max(1, pixels // (10 * classes))
    places = max(1, min(PLACES, pixels // (each * classes)))
    sets, maps = [], []
    for n in (count, count // 2):
        x = 0.48 + 0.04 * torch.rand(n, *shape, generator=generator)
        y = torch.arange(n) % classes
        white = torch.nn.functional.one_hot(y, classes).repeat_interleave(each, 1).float()
        first = torch.randint(places, (n, 1), generator=generator) * (pixels // places)
        place = (first + torch.arange(each * classes))[:, None]
        every_channel = place.expand(-1, shape[0], -1)
        x.flatten(2).scatter_(2, every_channel, white[:, None].expand_as(every_channel))
        marks = torch.zeros(n, 1, pixels).scatter_(2, place, 1.0).view(n, 1, *shape[1:])
        sets += [x.to(like.x_test.device), y.to(like.y_test.device)]
        maps.append(marks.to(like.x_test.device))
    named = zip(("x_train", "y_train", "x_test", "y_test"), sets, strict=True)
    return replace(like, **dict(named)), (maps[0], maps[1])


def planted_scores(
    like: Images, recipe: Recipe, *, count: int, fractions: Sequence[float] = FRACTIONS, unit: str = "pixel"
) -> list[dict[str, object]]:
    """What remove and retrain says of the maps that mark a planted label, image by image.

    mu, in points of accuracy; fraction of the largest, where all nets are at chance under ROAR and all
    perfect under KAR; own − another's, the score of these maps minus that of the same maps given to other
    images of the class, in points. NaN where the largest is 0, as of nets that learnt nothing.
    recipe: of the nets that are retrained; its data and mask do not count, its seed draws everything.
    Rows: metric, quantity and value.
    """
    of, marks = planted_images(like, count=count, seed=recipe.seed)
    generator = torch.Generator(marks[0].device).manual_seed(recipe.seed)
    elsewhere = tuple(
        m[saliency.other_images(y, "same_class", generator=generator)]
        for m, y in zip(marks, (of.y_train, of.y_test), strict=True)
    )
    kinds = [(maps, remove) for maps in (marks, elsewhere) for remove in ("largest", "smallest")]
    asked = [*kinds, (None, "largest")]
    sets = [_masked(of, m, q, remove, unit, generator) for m, remove in asked for q in fractions]
    accuracies = [
        metrics.fraction_correct(net, on) for net, on in zip(_nets(recipe, sets), sets, strict=True)
    ]
    *curves, random = torch.tensor(accuracies).view(len(asked), len(fractions), 1)
    chance = 1 / like.n_classes
    best = {"ROAR": torch.full_like(random, chance), "KAR": torch.ones_like(random)}
    rows: list[dict[str, object]] = []
    for metric, own, other in zip(best, curves[:2], curves[2:], strict=True):
        mu, mu_other, largest = (
            100 * SCORES[metric](fractions, of_map, random, ends=(1.0, chance)).item()
            for of_map in (own, other, best[metric])
        )
        found = {"mu": mu, "fraction of the largest": mu / (largest or math.nan)}
        found["own − another's"] = mu - mu_other
        rows += [{"metric": metric, "quantity": name, "value": value} for name, value in found.items()]
    return rows


def _masked(
    of: Images,
    marks: tuple[Tensor, ...] | None,
    fraction: float,
    remove: str,
    unit: str,
    generator: torch.Generator,
) -> Images:
    fill, masked = saliency.fill_value(of.x_train, "channel_mean"), []
    for i, x in enumerate((of.x_train, of.x_test)):
        maps = torch.zeros_like(x) if marks is None else marks[i].expand_as(x)
        places = saliency.ranks(maps, unit=unit, generator=generator)
        masked.append(saliency.masked(x, places, fraction, remove=remove, fill=fill))
    return replace(of, x_train=masked[0], x_test=masked[1])


def _nets(recipe: Recipe, sets: Sequence[Images]) -> list[torch.nn.Module]:
    recipes = [replace(recipe, mask=None, seed=recipe.seed + i) for i in range(len(sets))]
    if stacked.kind(recipe) is None:
        return [train(one, on)[0] for one, on in zip(recipes, sets, strict=True)]
    return [result[0] for result in stacked.train(recipes, sets)]
