"""The attacks of a protocol, one after the other, each to be run on what the earlier ones left robust."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from companion import guards
from companion.attacks.apgd import apgd
from companion.attacks.norms import random_start
from companion.attacks.pgd import pgd
from companion.attacks.square import square

#: An attack's name, and the function that attacks the samples with given indices.
Member = tuple[str, Callable[[Tensor], Tensor]]


def strong(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    step_size: float | None,
    restarts: int,
    generator: torch.Generator | None,
) -> Iterator[Member]:
    """PGD on the cross-entropy, then PGD on the margin, `restarts` times each, from random starts.

    The settings as in attacks.evaluate.
    """
    run = {"norm": norm, "eps": eps, "steps": steps, "step_size": step_size, "stop_early": True}
    for loss in ("cross_entropy", "margin"):
        for _ in range(restarts):
            start = x + random_start(x, norm, eps, "ball", generator)
            yield f"pgd {loss}", _on_part(pgd, model, x, y, {"start": start}, loss=loss, **run)


def reference(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    restarts: int,
    targets: int,
    queries: int,
    batch_size: int,
    generator: torch.Generator | None,
) -> Iterator[Member]:
    """APGD on the cross-entropy, targeted APGD, PGD on the margin, Square.

    Source: AutoAttack (Croce & Hein 2020), with restarts, and with PGD on the margin where it has FAB.

    model, x, y, norm, eps, batch_size, generator: as in attacks.evaluate.
    steps: gradient steps of a run.
    restarts: runs of APGD on the cross-entropy, and of PGD on the margin; after the strong protocol, which
    does both, 0 leaves them out.
    targets: classes that APGD aims at in one run each, those likeliest on the clean image first; at most
    all wrong ones. Its loss is dlr; nets of 2 or 3 classes have too few for it and are attacked on the
    targeted margin, as the name then says.
    queries: forward passes of Square; 0 leaves it out.
    """
    ball = {"norm": norm, "eps": eps}
    run = {**ball, "steps": steps, "stop_early": True}

    def start() -> Tensor:
        return x + random_start(x, norm, eps, "ball", generator)

    for _ in range(restarts):
        yield "apgd cross_entropy", _on_part(apgd, model, x, y, {"start": start()}, **run)
    wrong = _wrong_classes(model, x, y, batch_size)
    loss = "dlr" if wrong.shape[1] >= 3 else "margin"
    for target in wrong[:, :targets].unbind(1):
        each = {"start": start(), "target": target}
        yield f"apgd targeted {loss}", _on_part(apgd, model, x, y, each, loss=loss, **run)
    for _ in range(restarts):
        yield "pgd margin", _on_part(pgd, model, x, y, {"start": start()}, loss="margin", **run)
    if queries:
        seeds = torch.randint(2**62, (len(x),), generator=generator, device=x.device)
        yield "square", _on_part(square, model, x, y, {"seeds": seeds}, queries=queries, **ball)


def _on_part(
    attack: Callable, model: nn.Module, x: Tensor, y: Tensor, each: dict[str, Tensor], **settings
) -> Callable[[Tensor], Tensor]:
    """The attack as a function of indices. each: settings that have one entry per sample.

    They are drawn for all of x, so that no sample's attack depends on which others are still robust.
    """
    return lambda part: attack(
        model, x[part], y[part], **settings, **{name: value[part] for name, value in each.items()}
    )


@torch.no_grad()
def _wrong_classes(model: nn.Module, x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    """The classes other than y, int64 (B, K - 1), largest logit of the clean image first."""
    logits = guards.logits_of(model, x, batch_size)
    guards.check_labels(y, logits)
    return logits.scatter(1, y[:, None], -torch.inf).argsort(1, descending=True)[:, :-1]
