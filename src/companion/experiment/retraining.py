"""Remove and retrain: what a map is worth, told by nets retrained without the pixels it ranks.

ROAR and KAR (BR section 3.2, after Hooker et al. 2018) and DiffROAR (SH) are one measurement: nets trained
from scratch, and tested, on images whose pixels are replaced in the order of a map. `retrainings` lists these
trainings as recipes, so store.estimate says what they cost, store.train_all does them in parallel, each of
them once and resumably, and `retrained_accuracies` reads off the curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from companion import guards, metrics, store
from companion.training.recipe import Mask, Recipe


def retrainings(
    recipe: Recipe, mask: Mask, *, fractions: Sequence[float], seeds: Sequence[int]
) -> list[Recipe]:
    """`recipe` on images masked by `mask`, for every fraction and, innermost, every training seed.

    fractions: of the pixels that are replaced, in [0, 1]; mask.fraction itself does not count. Fraction 0 is
    the recipe unmasked, fraction 1 the same for every map, and a random order (mask.source None) the same for
    ROAR and KAR: such nets are trained once for all curves. BR's code retrains its random baseline for every
    net.
    """
    return [replace(recipe, mask=_at(mask, fraction), seed=seed) for fraction in fractions for seed in seeds]


def _at(mask: Mask, fraction: float) -> Mask | None:
    if fraction == 0:
        return None
    if fraction == 1 or mask.source is None:
        mask = replace(mask, source=None, map=None, remove="largest")
    return replace(mask, fraction=fraction)


def retrained_accuracies(
    recipe: Recipe, mask: Mask, *, fractions: Sequence[float], seeds: Sequence[int], device: str = "cpu"
) -> Tensor:
    """Accuracy on the masked test images of every retrained net: (S, R), fractions by seeds, in [0, 1].

    A ROAR curve where mask.remove is "largest", a KAR curve where it is "smallest". Source: BR section 3.2,
    whose KAR counts the fraction kept: that mirrors the curve and leaves its area as it is.
    Nets that the store lacks are trained; accuracies are kept there too.
    """
    every = retrainings(recipe, mask, fractions=fractions, seeds=seeds)
    found = [fmean(store.measure(metrics.clean_accuracy, r, device=device)) for r in every]
    return torch.tensor(found, dtype=torch.float64).view(len(fractions), len(seeds))


def area_under(
    fractions: Sequence[float], accuracies: Tensor, *, ends: tuple[float, float] | None = None
) -> Tensor:
    """Area under a curve of accuracies (S, R) over fractions in [0, 1], by the trapezoidal rule: (R,).

    ends: the accuracies at fractions 0 and 1 where `fractions` leaves them out. BR's code fixes them at the
    accuracy on whole images and at chance. The area over the curve is 1 minus the area under it.
    Raises ValueError for fractions that do not ascend from 0 to 1, ends included.
    """
    if len(fractions) != len(accuracies):
        raise ValueError(
            f"{len(fractions)} fractions, but accuracies for {len(accuracies)}: one row for each fraction"
        )
    places = torch.tensor(fractions, dtype=torch.float64)
    heights = accuracies.double()
    if ends is not None:
        places = torch.cat([torch.zeros(1), places, torch.ones(1)])
        first, last = (heights.new_full((1, heights.shape[1]), value) for value in ends)
        heights = torch.cat([first, heights, last])
    if places[0] != 0 or places[-1] != 1 or not (places.diff() > 0).all():
        raise ValueError(
            f"the fractions are {places.tolist()}; expected them to ascend from 0 to 1: give "
            "ends=(whole, chance) where the ends were not measured"
        )
    return torch.trapezoid(heights, places, dim=0)


def mu_roar(
    fractions: Sequence[float],
    accuracies: Tensor,
    random: Tensor,
    *,
    ends: tuple[float, float] | None = None,
) -> Tensor:
    """Area over the ROAR curve minus area over the random one, per seed: (R,), positive for a good map.

    Source: BR section 3.2, mu_ROAR. accuracies, random: (S, R), from retrained_accuracies. Both curves have
    the same ends, so these change nothing, fixed or measured.
    Raises ValueError as area_under does.
    """
    return area_under(fractions, random, ends=ends) - area_under(fractions, accuracies, ends=ends)


def mu_kar(
    fractions: Sequence[float],
    accuracies: Tensor,
    random: Tensor,
    *,
    ends: tuple[float, float] | None = None,
) -> Tensor:
    """Area under the KAR curve minus area under the random one, per seed: (R,), positive for a good map.

    Source: BR section 3.2, mu_KAR; the rest as in mu_roar.
    """
    return area_under(fractions, accuracies, ends=ends) - area_under(fractions, random, ends=ends)


def diff_roar(largest_kept: Tensor, smallest_kept: Tensor) -> Tensor:
    """Accuracy with the largest pixels kept minus accuracy with as many of the smallest kept: (S, R * R').

    Source: SH, DiffROAR (attribution quality in their first version): positive supports their assumption (A),
    about 0 for a random order. All pairs of retrained nets are compared, as in their code. Its area over all
    fractions is mu_roar + mu_kar.
    largest_kept: (S, R), from a mask that removes the "smallest", a KAR curve; smallest_kept: (S, R'), a ROAR
    curve over the same fractions. SH's own masks: map=part("loss_gradient", of="logit"), unit="entry",
    fill="mean". Raises ValueError for curves of different lengths.
    """
    if len(largest_kept) != len(smallest_kept):
        raise ValueError(
            f"curves of {len(largest_kept)} and {len(smallest_kept)} fractions cannot be compared"
        )
    return (largest_kept[:, :, None] - smallest_kept[:, None, :]).flatten(1)


@dataclass(frozen=True)
class Leak:
    """How much nets read off the mask alone: each (S, R), fractions by seeds, in [0, 1].

    accuracy: right labels. decision: the source net's decisions on the unmasked images, right or wrong.
    decision_on_errors: the same where the source errs, NaN when it never does; a net that learned what the
    images show, and not what the source decided, scores about 0 there.
    """

    accuracy: Tensor
    decision: Tensor
    decision_on_errors: Tensor


def mask_leak(
    recipe: Recipe, mask: Mask, *, fractions: Sequence[float], seeds: Sequence[int], device: str = "cpu"
) -> Leak:
    """What nets predict from which pixels were masked, with nothing of the image left (BR-E12; ours).

    The map depends on the label that the source net predicts, and masks are cut from it on test images too:
    a mask can carry the decision, and a retrained net then need not look at the pixels that remain.
    The nets are those of `retrainings` with mask.shows="mask". Raises ValueError for a random order and for
    fraction 0, which masks nothing.
    """
    if mask.source is None or 0 in fractions:
        raise ValueError(
            "a random order or an empty mask carries no decision: give a source and fractions above 0"
        )
    whole = store.images(recipe.data, device)
    decisions = _predictions(store.get(mask.source, device=device), whole.x_test)
    errs = decisions != whole.y_test
    rows = []
    for r in retrainings(recipe, replace(mask, shows="mask"), fractions=fractions, seeds=seeds):
        read = _predictions(store.get(r, device=device), store.images_of(r, device).x_test)
        agrees = (read == decisions).double()
        rows.append([(read == whole.y_test).double().mean(), agrees.mean(), agrees[errs].mean()])
    return Leak(*torch.tensor(rows, dtype=torch.float64).T.reshape(3, len(fractions), len(seeds)))


@torch.no_grad()
def _predictions(model: torch.nn.Module, x: Tensor, *, batch_size: int = 1000) -> Tensor:
    with guards.frozen(model):
        return torch.cat([model(part).argmax(1) for part in x.split(batch_size)])
