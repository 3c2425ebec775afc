"""What makes a trained net: everything the store hashes, and nothing else."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """A function of the package by name, with its settings. Make one with `part`."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.settings)


def part(name: str, **settings: Any) -> Part:
    """A Part with its settings in a fixed order, so that equal parts hash equally."""
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return Part(name, tuple(sorted(frozen.items())))


@dataclass(frozen=True)
class Target:
    """The maps an interpretation-regularised net is trained on (IR section 3.1).

    map: a function of companion.saliency, "input_gradient" or "smoothgrad", applied to the net of `source`.
    permute: share of each map's entries that is shuffled, before thresholding, once for the whole set.
    phi: threshold in standard deviations, applied to each batch after augmentation; None for none.
    """

    source: "Recipe"
    map: Part
    permute: float = 0.0
    phi: float | None = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """One training, from data to seed.

    data: part(name, n_train=..., n_test=..., split_seed=...), the arguments of companion.data.load.
    model: a function of companion.models; image size, channels and classes come from the data.
    loss: a function of companion.losses. inputs: a function of companion.transforms, or None.
    optimiser: a class of torch.optim. schedule: "cosine" (to zero, one step an epoch), "constant",
    or "step": a tenth after 40 % of the epochs and a hundredth after 80 % (ET: 80 and 160 of 200).
    augment: random crop and flip of image and target together.
    select: "last" epoch, or "best_test": the best clean *test* accuracy of the second half, which is what
    IR's code keeps (facts 1.3); never used unless a chapter says so.
    """

    data: Part
    model: Part
    loss: Part = field(default_factory=lambda: part("cross_entropy"))
    inputs: Part | None = None
    target: Target | None = None
    optimiser: Part = field(default_factory=lambda: part("SGD", lr=0.01, momentum=0.9))
    schedule: str = "cosine"
    augment: bool = False
    epochs: int = 10
    batch_size: int = 50
    select: str = "last"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.schedule not in ("cosine", "constant", "step"):
            raise ValueError(f'schedule={self.schedule!r}; expected "cosine", "constant" or "step"')
        if self.select not in ("last", "best_test"):
            raise ValueError(f'select={self.select!r}; expected "last" or "best_test"')
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}; expected at least 1")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, nested; fields at their default included."""
        return asdict(self)

    def describe(self) -> str:
        """One line for progress bars and logs."""
        extras = [p.name for p in (self.loss, self.inputs) if p is not None and p.name != "cross_entropy"]
        return f"{self.data.name} {self.model.name} {'+'.join(extras) or 'standard'} seed {self.seed}"


def digest(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON value, with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def needed(recipe: Recipe) -> list[Recipe]:
    """The recipe's sources, sources first, and the recipe itself."""
    sources = needed(recipe.target.source) if recipe.target else []
    return [*sources, recipe]
