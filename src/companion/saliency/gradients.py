"""Input gradients and SmoothGrad (IR section 3.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion import guards, tensors


def _logit(logits: Tensor, y: Tensor) -> Tensor:
    return logits.gather(1, y[:, None]).squeeze(1)


def _probability(logits: Tensor, y: Tensor) -> Tensor:
    return _logit(logits.softmax(1), y)


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, reduction="none")


#: What can be differentiated, per sample. The papers disagree (facts, input-gradient trap): IR takes the
#: true-class logit on MNIST and the probability on CIFAR (IR-E3), the others mostly the cross-entropy.
OUTPUTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "logit": _logit,
    "probability": _probability,
    "cross_entropy": _cross_entropy,
}


def input_gradient(
    model: nn.Module, x: Tensor, y: Tensor, *, of: str = "logit", mode: str = "eval", chunk: int | None = None
) -> Tensor:
    """d output_i / d x_i for each sample, signed, shaped like x. Source: IR's J_c(x), "simple gradient".

    of: "logit" of class y (the default, IR), its "probability", or the "cross_entropy" against y. For the
    gradient of the predicted class pass the predictions as y. x: (B, ...) in [0, 1]; y: (B,) int64.
    mode: "eval", or "train" for dropout and batch statistics as active during training.
    chunk: samples differentiated at once (default: tensors.batch_size); bounds the memory and, in eval mode,
    changes nothing else.
    Raises ValueError on a wrong range, dtype, label, device or output name.
    """
    guards.check_images(x, y, model)
    return _gradient(model, x, y, of=of, mode=mode, chunk=chunk)


def _gradient(
    model: nn.Module, x: Tensor, y: Tensor, *, of: str, mode: str = "eval", chunk: int | None
) -> Tensor:
    guards.check_autograd()
    if of not in OUTPUTS:
        raise ValueError(f"of={of!r}; expected one of {', '.join(OUTPUTS)}")
    chunk = tensors.batch_size(x) if chunk is None else chunk
    if chunk < 1:
        raise ValueError(f"chunk={chunk}; expected at least 1 sample")
    maps = torch.empty_like(x)
    with guards.frozen(model, mode), torch.enable_grad():
        for begin in range(0, len(x), chunk):
            part = slice(begin, begin + chunk)
            point = x[part].detach().requires_grad_()
            logits = model(point)
            guards.check_labels(y[part], logits)
            maps[part] = guards.gradient(OUTPUTS[of](logits, y[part]), point, finite=False)
    return maps


def smoothgrad(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    sigma: float = 0.15,
    samples: int = 50,
    of: str = "logit",
    clamp: bool = False,
    include_clean: bool = False,
    chunk: int | None = None,
    generator: torch.Generator | None = None,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Mean gradient over `samples` noisy copies x + e, e ~ N(0, sigma^2 I). Shaped like x.

    Source: Smilkov et al. 2017; IR eq. 10 (where the text's "standard Gaussian" means sigma = 0.15, IR-E11).
    IR's code differs from eq. 10 in two ways, `clamp` and `include_clean`.
    x: (B, ...) in [0, 1].
    y: (B,) int64.
    sigma: in pixels of [0, 1].
    samples: noisy copies.
    of: as in `input_gradient`.
    clamp: clip the noisy copies to [0, 1].
    include_clean: add the noiseless gradient (51 maps, not 50).
    chunk: noisy images in one pass (default: tensors.batch_size): several copies of a small batch. Besides
    them x and one sum are in memory, whatever `samples`. The noise is drawn sample by sample
    over the whole batch, so the result does not depend on chunk.
    generator: of the noise.
    progress: called with the fraction done.
    Raises ValueError as `input_gradient` does, and on sigma < 0 or samples < 1.
    """
    guards.check_images(x, y, model)
    if not sigma >= 0:
        raise ValueError(f"sigma={sigma}; expected a standard deviation >= 0, in pixels of [0, 1]")
    if samples < 1:
        raise ValueError(f"samples={samples}; expected at least 1")
    chunk = tensors.batch_size(x) if chunk is None else chunk
    together = max(1, chunk // max(1, len(x)))  # copies of the whole batch in one pass
    total = torch.zeros_like(x)
    for done in range(0, samples, together):
        copies = min(together, samples - done)
        noise = [_noise(x, generator) for _ in range(copies)]
        noisy = torch.cat([x + sigma * e for e in noise])
        noisy = noisy.clamp(0, 1) if clamp else noisy
        maps = _gradient(model, noisy, y.repeat(copies), of=of, chunk=chunk)
        total += maps.view(copies, *x.shape).sum(0)
        if progress is not None:
            progress((done + copies) / samples)
    if include_clean:
        total += _gradient(model, x, y, of=of, chunk=chunk)
    return total / (samples + include_clean)


def _noise(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
