"""Images: a whole data set as tensors on one device, and how it is cut into smaller ones."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A labelled image set, split into train and test, all of it on one device.

    x_train, x_test: (N, C, H, W) float32 in [0,1]; y_train, y_test: (N,) int64; `classes` names the labels.
    `name` is what `load` was given, `label` what a figure or a table should call the set.
    """

    name: str
    label: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        return self.x_train.shape[1]

    @property
    def size(self) -> int:
        """Height of an image; folders may hold images that are not square."""
        return self.x_train.shape[2]

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    def to(self, device: str | torch.device) -> "Images":
        """The same set on another device."""
        device = device_of(device)
        moved = {
            field: getattr(self, field).to(device) for field in ("x_train", "y_train", "x_test", "y_test")
        }
        return replace(self, **moved)

    def subset(self, n_train: int | None = None, n_test: int | None = None, seed: int = 0) -> "Images":
        """n_train and n_test images, None for all of them.

        The choice is the start of a permutation that `seed` fixes, so a smaller subset lies inside a larger
        one, and any start of it holds the classes in the whole set's proportions, to about one image.
        Raises ValueError when more images are asked for than there are.
        """
        train = _choice(self.y_train, n_train, seed, f"n_train={n_train}: {self.label}")
        test = _choice(self.y_test, n_test, seed, f"n_test={n_test}: {self.label}")
        return replace(
            self,
            x_train=self.x_train[train],
            y_train=self.y_train[train],
            x_test=self.x_test[test],
            y_test=self.y_test[test],
        )

    def hold_out(self, fraction: float, seed: int = 0) -> "Images":
        """The training images split in two, the second part in place of the test images.

        For choosing settings without a look at the test set. fraction: of the training images, in (0, 1); the
        split is stratified and fixed by seed. Raises ValueError for a fraction that leaves one part empty.
        """
        held = round(fraction * len(self.y_train))
        if not 1 <= held < len(self.y_train):
            raise ValueError(
                f"hold_out={fraction}: {held} of {len(self.y_train)} images; expected a fraction in (0, 1)"
            )
        x_train, y_train, x_test, y_test = split(self.x_train, self.y_train, held, seed)
        return replace(self, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)

    def chosen(
        self, n_train: int | None, n_test: int | None, seed: int, hold_out: float | None = None
    ) -> "Images":
        """The part of a set that `load` and its siblings are asked for.

        `subset`; with hold_out, `hold_out` of the n_train images, n_test then counting held-out images.
        """
        if hold_out is None:
            return self.subset(n_train, n_test, seed)
        return self.subset(n_train, seed=seed).hold_out(hold_out, seed).subset(n_test=n_test, seed=seed)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.x_train.shape[1:]))
        return (
            f"Images({self.label}: {len(self.y_train)} train, {len(self.y_test)} test, {shape}, "
            f"{self.n_classes} classes, {self.x_train.device})"
        )


def device_of(device: str | torch.device) -> torch.device:
    """The device of this name. Raises ValueError for a GPU that is not there."""
    device = torch.device(device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={str(device)!r}: {torch.cuda.device_count()} GPUs are visible; use 'cpu'")
    return device


def stratified_order(y: Tensor, seed: int) -> Tensor:
    """Permutation of the samples in which every start holds the classes in about the overall proportions."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(y), generator=generator)
    place = torch.empty(len(y), dtype=torch.float64)
    for label in y.unique().tolist():
        members = (y[shuffled] == label).nonzero().flatten()
        # the k-th member of a class of m belongs somewhere in [k/m, (k+1)/m)
        jitter = torch.rand(len(members), generator=generator, dtype=torch.float64)
        place[members] = (torch.arange(len(members)) + jitter) / len(members)
    return shuffled[place.argsort(stable=True)]


def _choice(y: Tensor, n: int | None, seed: int, what: str) -> Tensor | slice:
    if n is None:
        return slice(None)
    if not 1 <= n <= len(y):
        raise ValueError(f"{what} has {len(y)} of them; ask for 1 to {len(y)}")
    return stratified_order(y.cpu(), seed)[:n].to(y.device)


def split(x: Tensor, y: Tensor, n_test: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x_train, y_train, x_test, y_test, with n_test test samples; stratified."""
    order = stratified_order(y.cpu(), seed).to(y.device)
    train, test = order[: len(y) - n_test], order[len(y) - n_test :]
    return x[train], y[train], x[test], y[test]
