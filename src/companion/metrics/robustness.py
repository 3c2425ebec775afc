"""Accuracy of a net on test images, clean and attacked, image by image.

A list of truth values, one an image, or of fractions of restarts: its mean is the accuracy, and two nets can
be compared on the same images.
"""

from typing import Any

import torch
from torch import nn

from companion import attacks
from companion.data import Images


def clean_accuracy(net: nn.Module, images: Images) -> list[bool]:
    """Whether each test image is classified correctly. Errors as in attacks.correct."""
    return attacks.correct(net, images.x_test, images.y_test).tolist()


def robust_accuracy(
    net: nn.Module,
    images: Images,
    *,
    norm: str,
    eps: float,
    steps: int,
    step_size: float | None,
    restarts: int,
    strong_restarts: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Each test image under two protocols: that of IR's code, and the strong one after it.

    Source: IR section 4.2 and table 1; facts IR-E5, IR-E12. The paper reports the mean over `restarts`;
    beside it is the worst case per image. The strong protocol goes on with what the paper's attack leaves
    robust, so that its accuracy is never above the paper's.
    norm: of the ball.
    eps: its radius, pixels in [0, 1].
    steps: of each run.
    step_size: of the paper's protocol; None for 2.5 * eps / steps.
    restarts: of the paper's protocol.
    strong_restarts: runs on the cross-entropy, and as many on the margin.
    seed: draws the starts.
    Errors as in attacks.evaluate.
    """
    run = {"norm": norm, "eps": eps, "steps": steps, "generator": _generator(images, seed)}
    x, y = images.x_test, images.y_test
    paper = attacks.evaluate(
        net, x, y, **run, protocol="ir_paper", step_size=step_size, restarts=restarts
    ).robust
    strong = attacks.evaluate(net, x, y, **run, restarts=strong_restarts, robust=paper.all(0)).robust
    attack = f"{norm} {eps:g}"
    return [
        {"attack": attack, "protocol": protocol, "statistic": statistic, "value": value.tolist()}
        for protocol, statistic, value in (
            ("ir_paper", "mean", paper.float().mean(0)),
            ("ir_paper", "worst", paper.all(0)),
            ("strong", "worst", strong.all(0)),
        )
    ]


def reference_accuracy(
    net: nn.Module,
    images: Images,
    *,
    norm: str,
    eps: float,
    robust: list[bool],
    steps: int,
    restarts: int,
    targets: int,
    queries: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Each test image under the reference attack, on what earlier attacks left robust.

    robust: one truth value for each test image, such as robust_accuracy's under the strong protocol.
    seed: draws the starts.
    norm, eps, steps, restarts, targets, queries: as in attacks.evaluate, with its errors.
    """
    found = attacks.evaluate(
        net,
        images.x_test,
        images.y_test,
        norm=norm,
        eps=eps,
        protocol="reference",
        steps=steps,
        restarts=restarts,
        targets=targets,
        queries=queries,
        robust=torch.tensor(robust, dtype=torch.bool, device=images.x_test.device),
        generator=_generator(images, seed),
    )
    labels = {"attack": f"{norm} {eps:g}", "protocol": "reference", "statistic": "worst"}
    return [{**labels, "value": found.robust.all(0).tolist()}]


class Scaled(nn.Module):
    """The net with its logits times a factor: no decision changes."""

    def __init__(self, net: nn.Module, factor: float):
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.net(x)


def scaled_accuracy(
    net: nn.Module, images: Images, *, factor: float, eps: float, steps: int, step_size: float
) -> list[dict[str, Any]]:
    """Each test image under three l2 attacks on the net with its logits times `factor` (IR-E5).

    The official recipe averages the cross-entropy over 50 images and divides the gradient by at least 1e-6;
    beside it the same steps without these, on the cross-entropy and on the margin, whose direction no factor
    changes. eps, step_size: pixels in [0, 1]. Errors as in attacks.pgd.
    """
    ways = {
        "official recipe": {"protocol": attacks.IR_PAPER},
        "no floor, cross-entropy": {},
        "no floor, margin loss": {"loss": "margin"},
    }
    scaled, rows = Scaled(net, factor), []
    run = {"norm": "l2", "eps": eps, "steps": steps, "step_size": step_size}
    for way, how in ways.items():
        generator = _generator(images, 0)
        attacked = attacks.pgd(scaled, images.x_test, images.y_test, **run, **how, generator=generator)
        correct = attacks.correct(scaled, attacked, images.y_test).tolist()
        rows.append({"attack": f"l2 {eps:g}", "protocol": way, "factor": factor, "value": correct})
    return rows


def _generator(images: Images, seed: int) -> torch.Generator:
    return torch.Generator(images.x_test.device).manual_seed(seed)
