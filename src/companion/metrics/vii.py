"""Visual Interpretability of Input-gradients (NM, Li & Wang 2021), its chance level and its baseline."""

import math

import torch
from torch import Tensor, nn

from companion import guards


def vii(model: nn.Module, x: Tensor, y: Tensor, *, mean: Tensor | float, chunk: int = 1000) -> Tensor:
    """|cos(sign(x - mean), sign(gradient of the cross-entropy))| per sample: (B,), in [0, 1].

    Source: NM eq. 11, whose VII is the mean over a test set. Report it beside vii_chance, what random signs
    score (NM-E3), and constant_sign_vii.
    mean: the average of x over a data set, an image (C, H, W), or one number. The paper does not say which;
    the mean image of the training set is the choice of facts 3.3.
    sign(0) is 0, so zero entries shorten their vector; where a vector has no other entries VII is 0 (0/0).
    x: (B, C, H, W) in [0, 1]; y: (B,) int64, the true labels. Eval mode. chunk: samples at once.
    Raises ValueError on a wrong range, dtype, label or device, or a mean of another shape.
    Deviation: the sign is taken from the gradient of the log-odds, which is the cross-entropy's in exact
    arithmetic. In float32 the latter loses the true class once p_y rounds to 1, or vanishes, and half of a
    well-trained net's samples may score otherwise; for that, sign_cosine(saliency.input_gradient(model, x,
    y, of="cross_entropy"), x, mean=mean).
    """
    return sign_cosine(log_odds_gradient(model, x, y, chunk=chunk), x, mean=mean)


def sign_cosine(maps: Tensor, x: Tensor, *, mean: Tensor | float) -> Tensor:
    """|cos(sign(x - mean), sign(maps))| per sample: (B,). NM eq. 11 for any maps, (B, ...) or one for all.

    Settings, conventions and errors as in `vii`.
    """
    guards.check_images(x)
    if isinstance(mean, Tensor) and mean.ndim and mean.shape != x.shape[1:]:
        raise ValueError(
            f"mean has shape {tuple(mean.shape)}; expected a number or one image {tuple(x.shape[1:])}"
        )
    if not maps.isfinite().all():
        raise ValueError("maps hold NaN or infinite entries, which have no sign to compare")
    d = (x - mean).sign().flatten(1)
    g = maps.expand_as(x).sign().flatten(1)
    return (d * g).sum(1).abs() / (d.norm(dim=1) * g.norm(dim=1)).clamp(min=1)  # 0/0 is 0


def sign_cosines(maps: Tensor, x: Tensor, *, mean: Tensor | float, centred: bool = False) -> Tensor:
    """`sign_cosine` of every map (row) with every image (column): (M, B) for maps (M, ...) and x (B, ...).

    centred: subtract from each vector of signs its mean first, so that one sign everywhere scores 0.
    """
    vectors = [v.sign().flatten(1) for v in (maps, x - mean)]
    if centred:
        vectors = [v - v.mean(1, keepdim=True) for v in vectors]
    g, d = (v / v.norm(dim=1, keepdim=True).clamp(min=1e-6) for v in vectors)
    return (g @ d.T).abs()


def constant_sign_vii(x: Tensor, *, mean: Tensor | float) -> Tensor:
    """VII of a gradient whose sign is the same everywhere, per sample: (B,). It knows nothing of the image.

    |sum_n d_n| / (||d|| sqrt(N)) with d = sign(x - mean): large where most pixels are background (NM-C12,
    ours). Settings and errors as in `vii`.
    """
    return sign_cosine(torch.ones_like(x[:1]), x, mean=mean)


def vii_chance(pixels: int) -> float:
    """Expected VII of independent random signs in `pixels` entries: sqrt(2 / (pi N)).

    Source: facts NM-C11 (ours). N = C*H*W; zeros of x - mean do not change it. For large N: the exact value
    is nearer than a relative 1 / (3 N), 0.4 % for 8x8 pixels. Raises ValueError on pixels < 1.
    """
    if pixels < 1:
        raise ValueError(f"pixels={pixels}; expected at least 1")
    return math.sqrt(2 / (math.pi * pixels))


def log_odds_gradient(model: nn.Module, x: Tensor, y: Tensor, *, chunk: int = 1000) -> Tensor:
    """Gradient of s = logsumexp_{k != y} z_k - z_y, which has the sign of the cross-entropy's everywhere.

    CE = log(1 + e^s), so grad CE = sigmoid(s) grad s: for each image a positive multiple. In float32 the left
    side loses the true class's term once p_y rounds to 1, and its sign is then that of another function; s
    has no such limit. x: (B, C, H, W) in [0, 1], and the result; y, chunk and errors as in `vii`.
    """
    guards.check_images(x, y, model)
    guards.check_autograd()
    if chunk < 1:
        raise ValueError(f"chunk={chunk}; expected at least 1 sample")
    gradients = []
    with guards.frozen(model), torch.enable_grad():
        for part, labels in zip(x.split(chunk), y.split(chunk), strict=True):
            point = part.detach().requires_grad_()
            logits = model(point)
            guards.check_labels(labels, logits)
            label = labels[:, None]
            log_odds = logits.scatter(1, label, -torch.inf).logsumexp(1) - logits.gather(1, label).squeeze(1)
            gradients.append(guards.gradient(log_odds, point))
    return torch.cat(gradients)
