"""Searching in bfloat16, judging in full precision."""

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.objectives import margin

#: Rounded logits leave doubt where their margin is below this fraction of their spread. bfloat16 keeps 8
#: bits, an error of 0.4 % in every layer; in the margins of IR's CNN it was at most 0.3 % of the spread.
DOUBT = 0.02


def predict(model: nn.Module, x: Tensor, dtype: torch.dtype | None) -> Tensor:
    """Logits in x's precision: computed in it for dtype=None, else under autocast to `dtype`.

    Raises ValueError on a dtype other than None and torch.bfloat16, whose range, unlike float16's, is wide
    enough for gradients without a scale.
    """
    if dtype is None:
        return model(x)
    if dtype != torch.bfloat16:
        raise ValueError(f"dtype={dtype}; expected None or torch.bfloat16")
    with torch.autocast(x.device.type, dtype=dtype):
        logits = model(x)
    guards.check_logits(logits)
    return logits.to(x.dtype)


@torch.no_grad()
def still_correct(
    model: nn.Module, x: Tensor, y: Tensor, logits: Tensor, dtype: torch.dtype | None
) -> Tensor:
    """Which samples the full-precision net classifies correctly, bool (B,), given the logits of the attack.

    Rounded logits are taken at their word only far from the boundary; the net is asked about the others, so
    no sample leaves an attack that full precision would keep in it.
    """
    if dtype is None:
        return logits.argmax(1) == y
    correct = -margin(logits, y) > DOUBT * (logits.amax(1) - logits.amin(1))
    doubtful = (~correct).nonzero().squeeze(1)
    if len(doubtful):
        correct[doubtful] = model(x[doubtful]).argmax(1) == y[doubtful]
    return correct


@torch.no_grad()
def flips(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    dtype: torch.dtype | None = torch.bfloat16,
    batch_size: int = 1000,
) -> Tensor:
    """Which verdicts on x, right or wrong, full precision turns round, in eval mode: bool (B,).

    dtype: the precision of the verdicts in question; with None both are x's own. The second prediction is
    made with another batch size, so it also shows whether verdicts depend on that. Errors as in
    `attacks.pgd`.
    """
    guards.check_images(x, y, model)

    def verdicts(precision: torch.dtype | None, size: int) -> Tensor:
        logits = torch.cat([predict(model, part, precision) for part in x.split(size)])
        guards.check_labels(y, logits)
        return logits.argmax(1) == y

    with guards.frozen(model):
        return verdicts(dtype, batch_size) != verdicts(None, max(1, batch_size // 2 - 1))
