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

    map: a function of companion.saliency, "input_gradient" or "smoothgrad", applied to the net of `source`;
    source None for a map that asks no net, "image" or "image_minus_mean".
    at: where the map of an image's own class is taken: at the image "itself", or, as controls (ours), at
    another image of the "same_class", or at "any" other.
    permute: fraction of each map's entries that is shuffled, before thresholding, once for the whole set.
    phi: threshold in standard deviations, applied to each batch after augmentation; None for none.
    """

    source: "Recipe | None"
    map: Part
    at: str = "itself"
    permute: float = 0.0
    phi: float | None = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.at not in ("itself", "same_class", "any"):
            raise ValueError(f'at={self.at!r}; expected "itself", "same_class" or "any"')


@dataclass(frozen=True)
class Mask:
    """The pixels that a retrained net does not see, in training and test images (BR section 3.2: ROAR, KAR).

    share: share of an image's pixels that is replaced, in (0, 1]; how many that is: saliency.masked.
    source, map: the net and the function of companion.saliency whose map ranks the pixels by absolute value;
    None and None for a random order, which is then the same for every net.
    remove: "largest" values first (ROAR) or "smallest" (KAR).
    unit: "pixel" replaces all channels of a pixel together (BR), "entry" each on its own (Hooker et al., SH).
    fill: "channel_mean" or "mean" of the unmasked training images, or a number in [0, 1].
    shows: "image", or "mask": ones where pixels stay and zeros elsewhere, so that a net sees nothing but
    which pixels were chosen (BR-E12).
    seed: breaks ties, and draws the random order.
    """

    share: float
    source: "Recipe | None" = None
    map: Part | None = None
    remove: str = "largest"
    unit: str = "pixel"
    fill: str | float = "channel_mean"
    shows: str = "image"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share}; expected a share of the pixels in (0, 1]")
        if (self.source is None) != (self.map is None):
            raise ValueError("source and map go together: give both, or neither for a random order")
        for name, known in (
            ("remove", ("largest", "smallest")),
            ("unit", ("pixel", "entry")),
            ("shows", ("image", "mask")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f'{name}={getattr(self, name)!r}; expected "{known[0]}" or "{known[1]}"')


@dataclass(frozen=True)
class Recipe:
    """One training, from data to seed.

    data: part(name, n_train=..., n_test=..., split_seed=...), the arguments of companion.data.load.
    model: a function of companion.models; image size, channels and classes come from the data.
    loss: a function of companion.losses. inputs: a function of companion.transforms, or None.
    mask: the pixels replaced in the training and test images, or None for none.
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
    mask: Mask | None = None
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
        if self.target is not None and self.mask is not None:
            raise ValueError("target maps are made of unmasked images: give target or mask, not both")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}; expected at least 1")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, nested; fields at their default included."""
        return asdict(self)

    def describe(self) -> str:
        """One line for progress bars and logs."""
        extras = [p.name for p in (self.loss, self.inputs) if p is not None and p.name != "cross_entropy"]
        masked = f" {self.mask.share:.0%} masked" if self.mask else ""
        return f"{self.data.name} {self.model.name} {'+'.join(extras) or 'standard'}{masked} seed {self.seed}"


def digest(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON value, with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def needed(recipe: Recipe) -> list[Recipe]:
    """The recipe's sources, sources first, and the recipe itself."""
    sources = [part.source for part in (recipe.target, recipe.mask) if part is not None and part.source]
    return [*(r for source in sources for r in needed(source)), recipe]
