"""What nets are trained on, besides labels: images, images with masked pixels, target maps."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from companion import data, saliency
from companion.defaults import torch_defaults
from companion.store.files import folder, keep, verified
from companion.store.keys import identity, key
from companion.tensors import one_thread
from companion.training.loop import call
from companion.training.recipe import Part, Recipe, Target, digest

#: Gives a recipe's trained net; handed in, since nets are trained on what this module makes.
NetOf = Callable[[Recipe], nn.Module]


@lru_cache(maxsize=2)
@torch_defaults()
def images(recipe_data: Part, device: str) -> data.Images:
    """The recipe's images, whole, on the device."""
    return data.maker(recipe_data.name)(device=device, **recipe_data.kwargs)


def masked_images(recipe: Recipe, device: str, net_of: NetOf) -> data.Images:
    """The recipe's images, masked as the recipe says."""
    whole, mask = images(recipe.data, device), recipe.mask
    if mask is None:
        return whole
    ranks = _ranks(recipe.data, mask.source, mask.map, mask.unit, mask.seed, device, net_of)
    fill = saliency.fill_value(whole.x_train, mask.fill)
    masked = [
        saliency.masked(x, r, mask.fraction, remove=mask.remove, fill=fill, shows=mask.shows)
        for x, r in zip((whole.x_train, whole.x_test), ranks, strict=True)
    ]
    return replace(whole, x_train=masked[0], x_test=masked[1])


@lru_cache(maxsize=2)
def _ranks(
    recipe_data: Part,
    source: Recipe | None,
    chosen: Part | None,
    unit: str,
    seed: int,
    device: str,
    net_of: NetOf,
) -> tuple[Tensor, Tensor]:
    """saliency.ranks of the training and the test images, from which masks of every fraction are cut."""
    whole = images(recipe_data, device)
    generator = torch.Generator(device).manual_seed(seed)
    ranks = []
    for x, y in ((whole.x_train, whole.y_train), (whole.x_test, whole.y_test)):
        if chosen is None:
            found = torch.rand(x.shape, generator=generator, device=device)
        else:
            net = net_of(source)
            with one_thread(device):
                found = call(saliency, chosen, net, x, y, generator=generator)
        ranks.append(saliency.ranks(found, unit=unit, generator=generator))
    return ranks[0], ranks[1]


def target_maps(target: Target, recipe: Recipe, device: str, net_of: NetOf) -> Tensor:
    """The source net's maps of all training images of `recipe`, permuted, not yet thresholded."""
    of_images = recipe.data.name, recipe.data.settings, identity(recipe.data)
    source = target.source and key(target.source)
    unpermuted = source, target.map.name, target.map.settings, target.at, of_images, target.seed
    path = folder() / f"maps-{digest(unpermuted)}.safetensors"
    stored = verified(path)
    if stored is not None:
        result = load(stored)["maps"].to(device)
    else:
        net, chosen = target.source and net_of(target.source), images(recipe.data, device)
        generator = torch.Generator(device).manual_seed(target.seed)
        x, y = chosen.x_train, chosen.y_train
        if target.at != "itself":
            x = x[saliency.other_images(y, target.at, generator=generator)]
        with one_thread(device):
            result = call(saliency, target.map, net, x, y, generator=generator)
        keep(path, save({"maps": result.contiguous()}), {"map": [target.map.name, target.map.kwargs]})
    if target.permute == 0:
        return result
    generator = torch.Generator(device).manual_seed(target.seed)
    return saliency.permute(result, target.permute, generator=generator)
