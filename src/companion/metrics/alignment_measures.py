"""Alignment, its bounds and minimal distances of a net's test images: medians and single values."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks import minimal
from companion.data import Images
from companion.metrics.alignment_terms import AlignmentTerms, alignment_terms

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
    ||g_mean||^2 / ||g||^2, how much of the predicted logit's gradient all logits share (ours).
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
                if name == "alpha" or common == 0:
                    rows.append(_row(name, values, origin=origin, common=common))
    return rows


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
