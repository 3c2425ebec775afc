"""Feature leakage (SH): how much of a gradient lies where nothing is, and what lies there.

SH reads the gradient of the predicted class's logit; here it is that of the predicted class's lead, unless it
says otherwise. BlockMNIST images come with the patch of their null block.
"""

from typing import Any

import torch
from torch import Tensor, nn

from companion import attacks, data, models, saliency
from companion.data import Images
from companion.metrics.localisation import bottom1, mass_on, top1


def predicted_gradient(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """SH's gradient: of the logit of the predicted class, shaped like x. y is not looked at."""
    return saliency.loss_gradient(net, x, y, of="logit")


def lead_gradient(net: nn.Module, x: Tensor) -> Tensor:
    """Gradient of the predicted class's lead, its logit minus the next one's, shaped like x.

    Deviation from SH, who take the logit: what is added to all logits alike changes no decision and no
    probability, but the gradient of each logit. The lead does not change.
    """
    logits, gradients = saliency.class_gradients(net, x)
    first, second = logits.topk(2, dim=1).indices.T
    image = torch.arange(len(x), device=x.device)
    return gradients[image, first] - gradients[image, second]


def block_scores(net: nn.Module, images: Images, *, patch: str) -> dict[str, float]:
    """Mean over the test images of BlockMNIST: how much of a gradient is on the null block, and what.

    lead_mass, lead_energy: per cent of the absolute values and of the squares of `lead_gradient`; logit_mass,
    logit_energy: the same of `predicted_gradient`. leak_cosine: cosine of the lead's gradient there with the
    direction of the predicted class (ours): its mean signal block minus the others'.
    """
    lead = lead_gradient(net, images.x_test)
    maps = {"lead": lead, "logit": predicted_gradient(net, images.x_test, images.y_test)}
    null = ~data.block_mnist.signal_mask(images.x_test, patch=patch)
    directions = class_directions(images, patch=patch)[_predicted(net, images.x_test)]
    found = {}
    for of, values in maps.items():
        found[f"{of}_mass"] = 100 * mass_on(values, null).mean().item()
        found[f"{of}_energy"] = 100 * mass_on(values.square(), null).mean().item()
    on_null = lead[null].view(len(lead), -1)
    return found | {"leak_cosine": torch.cosine_similarity(on_null, directions).mean().item()}


def class_directions(images: Images, *, patch: str) -> Tensor:
    """For each class the mean of its signal blocks minus the mean of the others', training images: (K, D)."""
    signal = data.block_mnist.signal_mask(images.x_train, patch=patch)
    blocks = images.x_train[signal].view(len(images.y_train), -1)
    means = torch.stack([blocks[images.y_train == k].mean(0) for k in range(images.n_classes)])
    return means - (means.sum(0) - means) / (images.n_classes - 1)


def mean_null_map(net: nn.Module, images: Images, *, patch: str) -> Tensor:
    """Mean gradient of the lead on the lower block, (1, H, W), of test images with the null block there.

    Of those predicted as the last class; NaN where there is none.
    """
    half = images.x_test.shape[2] // 2
    lower = data.block_mnist.signal_mask(images.x_test, patch=patch)[:, 0, 0, 0]
    chosen = lower & (_predicted(net, images.x_test) == images.n_classes - 1)
    if not chosen.any():
        return torch.full_like(images.x_test[0, :, half:], torch.nan)
    return lead_gradient(net, images.x_test[chosen])[:, :, half:].mean(0)


def by_block(maps: Tensor, block: int) -> Tensor:
    """Norm of a map of one_hot_blocks in each block of `block` coordinates: (N, blocks)."""
    return maps.flatten(1).unflatten(1, (-1, block)).norm(dim=2)


def leak_scores(net: nn.Module, images: Images, *, relevant: int, block: int) -> dict[str, float]:
    """On the simplified BlockMNIST, test points: where the gradient is large.

    top1: per cent of the points whose own block has the largest gradient. bottom1: of those whose own block
    has the smallest of the relevant ones. own_over_other: the mean there over the mean on the other relevant
    blocks. noise_over_relevant: the mean on a noise block over that on a relevant one. margin_share: of a
    one-hidden-layer net on blocks of one coordinate, its normalised margin on the points without noise over
    the theorem's largest.
    """
    g = by_block(lead_gradient(net, images.x_test), block)
    own = data.toys.signal_of(images.x_test, images.y_test, block=block).flatten(1)[:, ::block]
    place = torch.arange(g.shape[1], device=g.device) < relevant
    found = {
        "top1": 100 * top1(g, own).mean().item(),
        "bottom1": 100 * bottom1(g[:, :relevant], own[:, :relevant]).mean().item(),
        "own_over_other": (g[own].mean() / g[~own & place].mean()).item(),
        "noise_over_relevant": (g[:, ~place].mean() / g[:, place].mean()).item(),
    }
    layers = [layer for layer in net if isinstance(layer, nn.Linear)]
    if block == 1 and len(layers) == 2:
        x, y = _clean_points(relevant, g.shape[1] - relevant, images.x_test)
        found["margin_share"] = normalised_margin(net, x, y) * (relevant + 1) ** 0.5
    return found


@torch.no_grad()
def normalised_margin(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """The theorem's margin: min y f(x) over the sum of |a_k| ||(w_k, b_k)||, of a one-hidden-layer net."""
    first, last = (layer for layer in net if isinstance(layer, nn.Linear))
    a = last.weight[1] - last.weight[0]
    size = torch.cat([first.weight, first.bias[:, None]], 1).norm(dim=1)
    logits = net(x)
    return (((2 * y - 1) * (logits[:, 1] - logits[:, 0])).min() / (a.abs() * size).sum()).item()


def leaking_identities(relevant: int, noise: int) -> list[dict[str, Any]]:
    """What the theorem says of its net in closed form: rows identity and value, each of which should be 0."""
    net = models.leaking_net(relevant, noise)
    x, y = _clean_points(relevant, noise, next(net.parameters()))
    maps = by_block(lead_gradient(net, x), 1)
    inside, outside = maps[:, :relevant], maps[:, relevant:]
    found = {
        "largest minus smallest gradient on relevant blocks": (inside.max() - inside.min()).item(),
        "gradient on noise blocks": outside.max().item(),
        "margin minus 1/√(d'+1)": normalised_margin(net, x, y) - (relevant + 1) ** -0.5,
        "wrong points": float((~attacks.correct(net, x, y)).sum()),
    }
    return [{"identity": f"leaking solution, {name}", "value": value} for name, value in found.items()]


def _clean_points(relevant: int, noise: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The 2 d' points y e_j without noise, of one coordinate a block."""
    one = torch.eye(relevant, relevant + noise)
    x = ((torch.cat([one, -one]) + 1) / 2)[:, :, None, None]
    return x.to(like), torch.arange(1, -1, -1, device=like.device).repeat_interleave(relevant)


@torch.no_grad()
def _predicted(net: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([net(of).argmax(1) for of in x.split(1000)])
