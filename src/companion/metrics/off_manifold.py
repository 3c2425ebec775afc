"""How far attacks leave the image manifold, by several projections (BR section 2.1; controls ours)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from companion import attacks
from companion.data import Images
from companion.metrics.manifold import changed, density, manifold_distance, projection
from companion.metrics.projections import nearest_image, principal_projection, random_step
from companion.models.vaegan import VaeGan

PCA, NEAREST, GAN = "principal components", "nearest training image", "VAE-GAN"


def projections(x: Tensor, x_train: Tensor, *, gan: VaeGan, dimensions: int) -> dict[str, Tensor]:
    """x on three manifolds, by name: the plane of so many principal components of the training images, the
    nearest of them, and what a VAE-GAN makes of x. Shapes and errors as in the functions asked.
    """
    return {
        PCA: principal_projection(x, x_train, dimensions=dimensions),
        NEAREST: nearest_image(x, x_train),
        GAN: projection(gan, x),
    }


def projection_errors(gan: VaeGan, images: Images, *, dimensions: int) -> list[dict[str, Any]]:
    """The l2 distance of test images from each of `projections` and from the mean image, pixels in [0, 1].

    Rows: projection, quantity and value: "distance" (the mean), with each (of every image); "relative
    distance", over the image's own length; "empty image", the distance of an image of zeros (both ours).
    """
    x = torch.cat([images.x_test, torch.zeros_like(images.x_test[:1])])
    found = projections(x, images.x_train, gan=gan, dimensions=dimensions)
    found["mean image"] = images.x_train.mean(0).expand_as(x)
    rows = []
    for name, of in found.items():
        distance, empty = _distance(x, of).split([len(x) - 1, 1])
        rows += _rows(distance, images.x_test, projection=name)
        rows.append({"quantity": "empty image", "projection": name, "value": empty.item()})
    return rows


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
) -> list[dict[str, Any]]:
    """The l2 distance of successful l2 attacks on the test images from each of `projections`.

    Source: BR figure 1. Rows: quantity "distance" with the labels projection, set and judge, a mean as value
    (NaN without a success) and `each`; set is "attack", or "random step": the same images, each moved as far
    as its attack in a random direction (ours). judge: whose prediction an attack has to change, "own" of the
    attacked net or "standard" of the net `judge`, which the paper's code asks (BR-E8). "relative distance",
    over the length of the attacked image (ours): an image with little in it is near any manifold. Then
    "length" of the own-judged attacks' steps, and "success, own" and "success, standard", per cent.
    eps, step_size: pixels in [0, 1]. seed: draws the directions. Errors as in attacks.pgd and `projections`.
    """
    x, ball = images.x_test, {"norm": "l2", "eps": eps, "steps": steps, "step_size": step_size}
    moved = attacks.pgd(net, x, images.y_test, **ball, protocol=attacks.BR_PAPER)
    length = _distance(x, moved)
    stepped = random_step(x, length, generator=torch.Generator(x.device).manual_seed(seed))
    success = {"own": changed(net, x, moved), "standard": changed(judge, x, moved)}
    both = torch.cat([moved, stepped])
    rows = []
    for name, of in projections(both, images.x_train, gan=gan, dimensions=dimensions).items():
        attack, step = _distance(both, of).split(len(x))
        sets = [("attack", "own", attack), ("attack", "standard", attack), ("random step", "own", step)]
        for kind, asked, distance in sets:
            labels, kept = {"projection": name, "set": kind, "judge": asked}, success[asked]
            rows += _rows(distance[kept], (moved if kind == "attack" else stepped)[kept], **labels)
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


def _rows(distances: Tensor, x: Tensor, **labels: str) -> list[dict[str, Any]]:
    each = [round(value, 5) for value in distances.tolist()]
    share = (distances / x.flatten(1).norm(dim=1)).double().mean().item()
    return [
        {"quantity": "distance", **labels, "value": distances.double().mean().item(), "each": each},
        {"quantity": "relative distance", **labels, "value": share},
    ]
