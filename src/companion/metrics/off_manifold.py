"""How far attacks leave the image manifold, by several projections (BR section 2.1; controls ours)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from companion import attacks
from companion.data import Images
from companion.metrics.manifold import changed, density, manifold_distance, projection
from companion.metrics.projections import nearest_image, principal_projections, random_step, step_towards
from companion.models.vaegan import VaeGan

PCA, NEAREST, GAN = "principal components", "nearest training image", "VAE-GAN"


def projections(
    x: Tensor, x_train: Tensor, *, gan: VaeGan, dimensions: int, wider: Sequence[int] = ()
) -> dict[str, Tensor]:
    """x on three manifolds, by name: the plane of so many principal components of the training images, the
    nearest of them, and what a VAE-GAN makes of x. Shapes and errors as in the functions asked.

    wider: planes of other numbers of components beside these, such as "30 principal components".
    """
    first, *rest = principal_projections(x, x_train, dimensions=[dimensions, *wider])
    found = {PCA: first, NEAREST: nearest_image(x, x_train), GAN: projection(gan, x)}
    return found | {f"{count} {PCA}": of for count, of in zip(wider, rest, strict=True)}


def projection_errors(
    gan: VaeGan, images: Images, *, dimensions: int, wider: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """The l2 distance of test images from each of `projections` and from the mean image, pixels in [0, 1].

    Rows: projection, quantity "distance", value, the mean, and each, of every image.
    """
    x = images.x_test
    found = projections(x, images.x_train, gan=gan, dimensions=dimensions, wider=wider)
    found["mean image"] = images.x_train.mean(0).expand_as(x)
    return [_row(_distance(x, of), quantity="distance", projection=name) for name, of in found.items()]


def off_manifold(
    net: nn.Module,
    images: Images,
    *,
    gan: VaeGan,
    judge: nn.Module,
    dimensions: int,
    eps: float,
    steps: int,
    step_size: float,
    seed: int,
    wider: Sequence[int] = (),
) -> list[dict[str, Any]]:
    """The l2 distance of successful l2 attacks on the test images from each of `projections`.

    Source: BR figure 1. Rows: quantity "distance" with the labels projection, set and judge, a mean as value
    (NaN without a success) and `each`; set is "attack" or one of our references, the same images, each moved
    as far as its attack: "random step", "scaled step" (random, with the deviation of every pixel over the
    training images) and "step to a class" (step_towards); "image" has not moved. judge: whose prediction an
    attack has to change, "own" of the attacked net or "standard" of the net `judge`, which the paper's code
    asks (BR-E8). "share outside" of the planes (ours): how much of the step lies outside, as a length over
    that of the step, whatever the image. Then "length" of the own-judged attacks' steps, and "success, own"
    and "success, standard", per cent.
    eps, step_size: pixels in [0, 1]. seed: draws the directions. Errors as in attacks.pgd and `projections`.
    """
    x, ball = images.x_test, {"norm": "l2", "eps": eps, "steps": steps, "step_size": step_size}
    moved = attacks.pgd(net, x, images.y_test, **ball, protocol=attacks.BR_PAPER)
    success = {"own": changed(net, x, moved), "standard": changed(judge, x, moved)}
    length = _distance(x, moved)
    sets = {"image": x, "attack": moved, **_references(images, length, seed=seed)}
    every = torch.cat(list(sets.values()))
    rows = []
    for name, on_it in projections(
        every, images.x_train, gan=gan, dimensions=dimensions, wider=wider
    ).items():
        residual = dict(zip(sets, (every - on_it).split(len(x)), strict=True))
        for kind, of in residual.items():
            labels = {"projection": name, "set": kind}
            for asked in success if kind == "attack" else ("own",):
                distance = of.flatten(1).norm(dim=1)[success[asked]]
                rows.append(_row(distance, quantity="distance", judge=asked, **labels))
            if name.endswith(PCA) and kind != "image":
                share = _distance(of, residual["image"]) / _distance(sets[kind], x)
                rows.append(_row(share[success["own"]], quantity="share outside", judge="own", **labels))
    rows.append({"quantity": "length", "value": length[success["own"]].mean().item()})
    shares = {f"success, {asked}": 100 * of.double().mean().item() for asked, of in success.items()}
    return rows + [{"quantity": quantity, "value": value} for quantity, value in shares.items()]


def latent_distances(
    gan: VaeGan, images: Images, *, sets: Mapping[str, Tensor], count: int, search: int
) -> list[dict[str, Any]]:
    """Mean distance of several sets, and of the first `count` test images, from a VAE-GAN's manifold by each
    kind of latent: mean, sampled, optimised in `search` steps (metrics.projection). Rows: set, latent, value.
    """
    rows = []
    for name, x in {"test images": images.x_test[:count], **sets}.items():
        for latent in ("mean", "sampled", "optimised"):
            generator = torch.Generator(x.device).manual_seed(0)
            of = manifold_distance(gan, x, latent=latent, steps=search, generator=generator)
            rows.append({"set": name, "latent": latent, "value": of.mean().item()})
    return rows


def relative_mode(values: Sequence[float], clean: Sequence[float]) -> float:
    """Where the density of some distances is largest, if 0 is the least and 1 the largest distance of clean
    images: the axis of BR's figure 1, as its code draws it. NaN for fewer than two different values.
    """
    if len(set(values)) < 2:
        return float("nan")
    low, high = min(clean), max(clean)
    at = torch.linspace(min(values), max(values), 501).tolist()
    return (at[int(density(values, at).argmax())] - low) / (high - low)


def _distance(x: Tensor, other: Tensor) -> Tensor:
    return (x - other).flatten(1).norm(dim=1)


def _references(images: Images, length: Tensor, *, seed: int) -> dict[str, Tensor]:
    """The test images, each moved by its length, by kind of step; the directions are drawn from the seed."""
    x = images.x_test
    draws = [torch.Generator(x.device).manual_seed(seed) for _ in range(3)]
    return {
        "random step": random_step(x, length, generator=draws[0]),
        "scaled step": random_step(x, length, scale=images.x_train.std(0), generator=draws[1]),
        "step to a class": step_towards(x, images.y_test, images, length, generator=draws[2]),
    }


def _row(values: Tensor, **labels: str) -> dict[str, Any]:
    each = [round(value, 5) for value in values.tolist()]
    return {**labels, "value": values.double().mean().item(), "each": each}
