"""Rows about the net and its inputs, before any attack: R1, R2, R5, R6, R7, R26, R27."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from companion import guards
from companion.checks.report import Check, judge, named, not_run, percent
from companion.training.recipe import Recipe


@torch.no_grad()
def forward(model: nn.Module, x: Tensor, batch_size: int = 1000) -> Tensor:
    """Logits (B, K) in eval mode."""
    with guards.frozen(model):
        return torch.cat([model(part) for part in x.split(batch_size)])


def eval_mode(model: nn.Module, use: Callable[[], object]) -> Check:
    """R1: `use`, which attacks the model, finds it in eval mode and leaves it as it was.

    Asked before, of every forward pass in between (parameters must not collect gradients), and after: flags,
    parameters, buffers and .grad must be unchanged. Value: how many of these are wrong.
    """
    wrong = []
    if any(module.training for module in model.modules()):
        wrong.append("the net arrives in train mode: call model.eval()")
    before, watched = _state(model), set()

    def look(*_: object) -> None:
        if any(module.training for module in model.modules()):
            watched.add("a forward pass of the attack ran in train mode")
        if torch.is_grad_enabled() and any(p.requires_grad for p in model.parameters()):
            watched.add("the attack collected gradients of the parameters")

    hook = model.register_forward_pre_hook(look)
    try:
        use()
    finally:
        hook.remove()
    wrong += sorted(watched)
    after = _state(model)
    wrong += [f"the attack changed its {what}" for what in before if not _same(before[what], after[what])]
    unchanged = (
        "The net stays in eval mode, and the attack leaves its flags, parameters and buffers as they were"
    )
    return judge("R1", not wrong, float(len(wrong)), f"{'; '.join(wrong).capitalize() or unchanged}.")


def _state(model: nn.Module) -> dict[str, list]:
    return {
        "flags": [m.training for m in model.modules()] + [p.requires_grad for p in model.parameters()],
        "parameters": [p.detach().clone() for p in model.parameters()],
        "buffers": [b.clone() for b in model.buffers()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
    }


def _same(before: list, after: list) -> bool:
    def equal(a: object, b: object) -> bool:
        both = isinstance(a, Tensor) and isinstance(b, Tensor)
        return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) if both else a is b

    return len(before) == len(after) and all(map(equal, before, after))


def inputs(model: nn.Module, x: Tensor, y: Tensor) -> Check:
    """R2: x is floating point in [0, 1] and finite, y are classes of the model. Value: largest |x|."""
    try:
        guards.check_images(x, y, model)
        guards.check_labels(y, guards.logits_of(model, x[:2]))
    except (TypeError, ValueError) as error:
        return judge("R2", False, None, f"{error}.")
    low, high = (float(v) for v in torch.aminmax(x))
    return judge("R2", True, high, f"Pixels in [{low:.3g}, {high:.3g}], labels among the net's classes.")


def deterministic(model: nn.Module, x: Tensor, *, passes: int = 5, batch_size: int = 1000) -> Check:
    """R5: five passes give the same classes, and logits within 1e-4 of their largest size (the value)."""
    logits = [forward(model, x, batch_size) for _ in range(passes)]
    scale = logits[0].abs().max().clamp_min(torch.finfo(x.dtype).tiny)
    moved = max(float((other - logits[0]).abs().max() / scale) for other in logits[1:])
    changed = torch.stack([other.argmax(1) != logits[0].argmax(1) for other in logits[1:]]).any(0)
    fraction = changed.float().mean().item()
    return judge(
        "R5",
        moved <= 1e-4 and fraction == 0,
        moved,
        f"In {passes} passes over the same images {percent(fraction)} of the predictions change; logits move "
        f"by {moved:.1g} of their largest size.",
    )


def batch_invariant(model: nn.Module, x: Tensor, *, points: int = 64) -> Check:
    """R6: on 64 points, the same classes in batches of 1, of 7 and all at once. Value: fraction that changes.

    Rounding moves logits by up to 0.1 % of their largest size (TF32), batch statistics by far more: a class
    that changes while its logits move by less than 0.5 % was a tie, and is not counted. Flagged when no class
    changes but logits move by more than 1 %.
    """
    x = x[:points]
    try:
        whole, *parts = (forward(model, x, size) for size in (len(x), 1, 7))
    except (RuntimeError, ValueError) as error:
        return judge(
            "R6", False, None, f"The net cannot predict image by image: {str(error).splitlines()[0]}"
        )
    scale = whole.abs().max().clamp_min(torch.finfo(x.dtype).tiny)
    moves = [(part - whole).abs().amax(1) / scale for part in parts]
    moved = float(torch.cat(moves).max())
    changes = [
        (part.argmax(1) != whole.argmax(1)) & (m > 0.005) for part, m in zip(parts, moves, strict=True)
    ]
    changed = torch.stack(changes).any(0).float().mean().item()
    sentence = (
        f"Between batches of 1, 7 and {len(x)}, {percent(changed)} of the predictions change; logits move by "
        f"{moved:.1g} of their largest size."
    )
    check = judge("R6", changed == 0, changed, sentence)
    return check if changed or moved <= 0.01 else Check("R6", check.name, "flagged", changed, sentence)


def not_probabilities(logits: Tensor) -> Check:
    """R7: the outputs (B, K) are not in [0, 1] with rows that sum to 1. Value: largest |row sum - 1|."""
    off = float((logits.sum(1) - 1).abs().max())
    probabilities = off < 1e-3 and bool(((logits >= 0) & (logits <= 1)).all())
    sentence = (
        "Every output lies in [0, 1] and every row sums to 1: these are probabilities, and a second softmax "
        "flattens the loss"
        if probabilities
        else f"Outputs run from {float(logits.min()):.3g} to {float(logits.max()):.3g}: logits"
    )
    return judge("R7", not probabilities, off, f"{sentence}.")


def class_count(logits: Tensor, losses: tuple[str, ...]) -> Check:
    """R26: DLR needs 3 classes, the other losses 2. Value: the number of classes."""
    classes = logits.shape[1]
    needed = 3 if "dlr" in losses else 2
    targeted = "enough" if classes >= 4 else "too few"
    return judge(
        "R26",
        classes >= needed,
        float(classes),
        f"{classes} classes: {named(losses)} need {needed}; {targeted} for targeted DLR, which needs 4.",
    )


def no_choice_on_test_data(model: nn.Module, x: Tensor, recipe: Recipe | None) -> Check:
    """R27: the forward pass runs no gradient descent, and the recipe kept no epoch by its test accuracy.

    Fails on a backward pass inside the forward pass; flags select="best_test", which IR's official code does
    (facts 1.3) and a chapter may repeat. Without a recipe the second half is unknown: "not run". Value: the
    number of tensors that backward passes inside the forward pass read.
    """
    with _counted_backward() as reads:
        forward(model, x[:8])
    if reads[0]:
        return judge(
            "R27",
            False,
            float(reads[0]),
            "The forward pass contains a backward pass: it optimises while it predicts.",
        )
    if recipe is None:
        return not_run(
            "R27",
            "The forward pass optimises nothing; which epoch was kept is unknown, as no recipe was given.",
        )
    if recipe.select == "best_test":
        name = judge("R27", True, None, "").name
        return Check(
            "R27", name, "flagged", 0.0, "Of all epochs the one with the best test accuracy was kept."
        )
    return judge("R27", True, 0.0, f"The forward pass optimises nothing; the {recipe.select} epoch was kept.")


@contextmanager
def _counted_backward() -> Iterator[list[int]]:
    """Counts the tensors that backward passes read back from the graph."""
    reads = [0]

    def unpack(tensor: Tensor) -> Tensor:
        reads[0] += 1
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
        yield reads
