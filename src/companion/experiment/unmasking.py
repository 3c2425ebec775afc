"""DiffROAR: do the coordinates with large gradients tell more than those with small ones (SH's assumption A)?

experiment.diff_roar compares what nets reach that are retrained on the top coordinates alone and on the
bottom ones alone; here is how SH counts these trainings on the engine of ROAR and KAR.
"""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from torch import Tensor

from companion import store
from companion.experiment.retraining import diff_roar, retrained_accuracies, retrainings
from companion.training.recipe import Mask, Recipe


def unmaskings(recipe: Recipe, mask: Mask, *, kept: Sequence[float], seeds: Sequence[int]) -> list[Recipe]:
    """All recipes behind `pred_power`, top and bottom, for store.estimate and store.train_all."""
    top, bottom = _top_and_bottom(mask)
    settings = {"fractions": _removed(kept), "seeds": seeds}
    return [r for m in (top, bottom) for r in retrainings(recipe, m, **settings)]


def pred_power(
    recipe: Recipe, mask: Mask, *, kept: Sequence[float], seeds: Sequence[int], device: str = "cpu"
) -> tuple[Tensor, Tensor]:
    """PredPower of top-k and of bottom-k unmasking: two tensors (K, R), fractions by seeds, in [0, 1].

    Source: SH section 3: the accuracy, on images of which only the k largest (k smallest) coordinates are
    shown, of nets trained on such images; the best of an architecture, estimated by retraining. DiffROAR(k)
    is experiment.diff_roar of the two.
    mask: whose map ranks the coordinates; its fraction and remove do not count. unit: "entry" ranks every
    channel of a pixel on its own (SH's code), "pixel" all of them together. kept: k, each in (0, 1): of an
    image that shows all or nothing, top and bottom are the same. For a random order, mask.source None,
    the bottom gets one of its own: to experiment.retrainings both ends of one order are the same nets.
    Nets that the store lacks are trained. Raises ValueError for k outside (0, 1).
    """
    top, bottom = _top_and_bottom(mask)
    settings = {"fractions": _removed(kept), "seeds": seeds, "device": device}
    return retrained_accuracies(recipe, top, **settings), retrained_accuracies(recipe, bottom, **settings)


def _top_and_bottom(mask: Mask) -> tuple[Mask, Mask]:
    if mask.source is None:
        return mask, replace(mask, seed=mask.seed + 1)
    return replace(mask, remove="smallest"), replace(mask, remove="largest")


def _removed(kept: Sequence[float]) -> list[float]:
    if outside := [k for k in kept if not 0 < k < 1]:
        raise ValueError(
            f"k={outside[0]}; expected fractions in (0, 1): with all or none of the coordinates shown, "
            "top and bottom are the same"
        )
    return [round(1 - k, 9) for k in kept]  # 1 - 0.9 as 0.1, so that the nets are those of ROAR and KAR


def powers(recipe: Recipe, mask: Mask, *, kept: Sequence[float], device: str = "cpu") -> pd.DataFrame:
    """`pred_power` with the recipe's seed, per cent: columns kept, end (top, bottom, difference), value."""
    top, bottom = pred_power(recipe, mask, kept=kept, seeds=[recipe.seed], device=device)
    ends = {"top": top, "bottom": bottom, "difference": diff_roar(top, bottom)}
    rows = [(k, end, 100 * of[i].item()) for end, of in ends.items() for i, k in enumerate(kept)]
    return pd.DataFrame(rows, columns=["kept", "end", "value"])


def unmasked_views(recipe: Recipe, mask: Mask, *, kept: float, device: str = "cpu") -> dict[str, Tensor]:
    """The test images that the nets behind `powers` see: top, bottom, and the mask of the top alone."""
    alone = replace(mask, shows="mask")
    one = {"kept": [kept], "seeds": [recipe.seed]}
    recipes = [*unmaskings(recipe, mask, **one), unmaskings(recipe, alone, **one)[0]]
    names = ("top k", "bottom k", "mask of top k")
    return {n: store.images_of(r, device).x_test for n, r in zip(names, recipes, strict=True)}
