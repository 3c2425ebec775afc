"""Alignment, its bounds and minimal distances of a net's test images: medians and single values."""

import copy
import math
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks import minimal
from companion.data import Images
from companion.metrics.alignment_terms import (
    AlignmentTerms,
    alignment,
    alignment_terms,
    binarised_alignment,
)

#: The terms of ET's theorems that do not depend on origin or gauge, or are given as the paper has them.
TERMS = (
    *("rho_tilde", "alpha_xi", "shift", "turn", "turn_xi", "turn_xi_printed"),
    *("psi_plus", "linear_plus"),
)
#: Alignments: alpha of the raw and of the centred logit of the predicted class, and alpha_plus of g_plus.
GAUGES = ("alpha", "centred alpha", "alpha_plus")
ATTACKS = {
    "gradient": minimal.gradient_line_search,
    "BIM": minimal.l2_bim,
    "CW": minimal.carlini_wagner,
    "DDN": minimal.ddn,
}


def alignment_values(
    net: nn.Module,
    images: Images,
    *,
    count: int,
    origins: Sequence[float] = (0.0,),
    commons: Sequence[float] = (0.0,),
) -> list[dict[str, Any]]:
    """Medians over the first `count` test images of ET's terms and alignments; `each`: the values behind.

    Source: ET section 4. quantity: one of TERMS, with the paper's origin, black; one of GAUGES, with the
    labels `origin`, the pixel value that counts as zero, and `common`, c where c ||x - origin||^2 / 2 is
    added to every logit, in units of M||g|| / M||x - origin||; "slope", ||g||; "common share",
    ||g_mean||^2 / ||g||^2, how much of the predicted logit's gradient all logits share (ours); "class alpha",
    centred alpha with the next image of the same predicted class in place of the own one, and "own over
    class", median centred alpha over it (ours; NaN where no class is predicted twice, and for a net whose
    output does not depend on the image).
    Errors as in alignment_terms.
    """
    x = images.x_test[:count]
    terms = alignment_terms(net, x)
    g, mean = (of.flatten(1).norm(dim=1) for of in (terms.g, terms.g_mean))
    rows = [_row(name, getattr(terms, name).abs()) for name in TERMS]
    rows += [_row("slope", g), _row("common share", (mean / g).square().nan_to_num(0.0))]
    for origin in origins:
        unit = g.median() / (x - origin).flatten(1).norm(dim=1).median()
        for common in commons:
            for name, values in alignments(terms, x, origin, common * unit.item()).items():
                row = _row(name, values, origin=origin, common=common)
                if origin or common:  # a file for each net: single values of the paper's convention alone
                    del row["each"]
                rows += [row] if name == "alpha" or common == 0 else []
    return rows + _of_class(terms, x)


def _of_class(terms: AlignmentTerms, x: Tensor) -> list[dict[str, Any]]:
    other, has = next_of_class(terms.predicted)
    black = {"origin": 0.0, "common": 0.0}
    own, of_other = (alignments(terms, at)["centred alpha"][has] for at in (x, x[other]))
    middle, of = (median(found.tolist()) if has.any() else math.nan for found in (own, of_other))
    return [
        {"quantity": "class alpha", **black, "value": of},
        {"quantity": "own over class", **black, "value": middle / of if of else math.nan},
    ]


def next_of_class(predicted: Tensor) -> tuple[Tensor, Tensor]:
    """For each of B images the index of the next one of the same predicted class, the first after the last,
    and whether there is one but itself, (B,) each. predicted: (B,) int64."""
    other = torch.arange(len(predicted), device=predicted.device)
    for of in predicted.unique():
        places = (predicted == of).nonzero().flatten()
        other[places] = places.roll(-1)
    return other, other != torch.arange(len(other), device=other.device)


def kink_effect(net: nn.Module, images: Images, *, count: int, step: float = 1e-7) -> dict[str, float]:
    """By how many per cent median alpha and alpha_plus of the first `count` test images move when every pixel
    is raised by a random number up to `step` (ours).

    Many images sit on a kink: equal values, such as those of a black background, meet in a window of
    max-pooling, and one of several one-sided gradients is taken. In float64, where the step is not rounded.
    """
    net, x = copy.deepcopy(net).double(), images.x_test[:count].double()
    generator = torch.Generator(x.device).manual_seed(0)
    moved = x + step * torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    found = {}
    for name, of in (("alpha", alignment), ("alpha_plus", binarised_alignment)):
        before, after = (median(of(net, at.clamp(0, 1)).tolist()) for at in (x, moved))
        found[f"change of median {name}, per cent"] = 100 * (after / before - 1) if before else 0.0
    return found


def alignments(
    terms: AlignmentTerms, x: Tensor, origin: float | Tensor = 0.0, common: float = 0.0
) -> dict[str, Tensor]:
    """The alignments GAUGES of images x (B, ...) measured from `origin`, (B,) each.

    common: c, where c ||x - origin||^2 / 2 is added to every logit: alpha moves, the two others do not.
    """
    x, g, mean, plus = (v.flatten(1) for v in (x - origin, terms.g, terms.g_mean, terms.g_plus))
    of = dict(zip(GAUGES, (g + common * x, g - mean, plus), strict=True))
    tiny = torch.finfo(x.dtype).tiny
    return {name: (x * v).sum(1).abs() / v.norm(dim=1).clamp_min(tiny) for name, v in of.items()}


def nearest_distance(
    net: nn.Module, images: Images, *, attack: str, count: int, **settings: float
) -> list[dict[str, Any]]:
    """The distance an attack finds for each of the first `count` test images: their median, and `each`.

    Source: ET section 4.1. attack: one of ATTACKS; settings: its keyword arguments. As in the paper an image
    is attacked against the net's own prediction, and where an attack fails its distance is inf.
    """
    x = images.x_test[:count]
    own = guards.logits_of(net, x).argmax(1)
    return [_row("distance", ATTACKS[attack](net, x, own, **settings).distance, attack=attack)]


def _row(quantity: str, values: Tensor, **labels: Any) -> dict[str, Any]:
    each = values.tolist()
    return {"quantity": quantity, **labels, "value": median(each), "each": each}
