"""ET's larger experiment, ResNet-50 on a folder of photographs of any size, read batch by batch.

Everything else in this package holds its images as one tensor; ImageNet at 256 pixels would take 1 TB. Here
torchvision's ImageFolder and a DataLoader decode the images of one batch at a time, so that memory does not
grow with their number but for their names.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

from companion import guards, losses, models, plots
from companion.code import fingerprint
from companion.experiment.comparing import pearson, shares
from companion.metrics import alignment_terms, alignments
from companion.metrics.alignment_measures import ATTACKS, TERMS
from companion.models.imagenet import MEAN
from companion.store.files import folder as store_folder
from companion.store.files import keep, verified
from companion.training.checkpoint import resume, save_state
from companion.training.loop import Diverged
from companion.training.recipe import digest

Report = Callable[[str], None]
#: The mean colour: ET's ImageNet pixels have it subtracted, so its alignments are measured from it.
ORIGIN = torch.tensor(MEAN)[:, None, None]
PATIENCE = 2  # epochs without a lower training loss that are waited for before the learning rate falls


@dataclass(frozen=True)
class Folder:
    """Photographs: path/train/CLASS/* and path/val/CLASS/*, and how many of each are used.

    size: side of the square cut out of each at its centre, in pixels, after its shorter side was resized to
    it. n_train, n_test: None for all; the first of a random order. workers: processes that decode.
    Raises ValueError where one of the two folders is not there.
    """

    path: str
    size: int = 256
    n_train: int | None = None
    n_test: int | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        for part in ("train", "val"):
            if not (Path(self.path) / part).is_dir():
                raise ValueError(
                    f"no folder {Path(self.path) / part}; expected {part}/CLASS/*.jpg below {self.path}"
                )

    @property
    def label(self) -> str:
        name = Path(self.path).name
        return "ImageNet" if name.lower() == "imagenet" else name


def images_of(folder: Folder, part: str) -> Dataset:
    """The images of "train" or "val": pairs of a tensor (3, size, size) in [0, 1] and a class index.

    Raises ValueError where the folder holds no images.
    """
    count = {"train": folder.n_train, "val": folder.n_test}[part]
    to_square = [transforms.Resize(folder.size), transforms.CenterCrop(folder.size), transforms.ToTensor()]
    try:
        found = datasets.ImageFolder(Path(folder.path) / part, transforms.Compose(to_square))
    except FileNotFoundError as error:
        raise ValueError(f"{folder.path}: {error}; expected {part}/CLASS/*.jpg below it") from None
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    return Subset(found, order[:count].tolist())


def batches(
    images: Dataset, batch_size: int, *, workers: int = 0, device: str = "cpu", order: Any = None
) -> Iterable[tuple[Tensor, Tensor]]:
    """Batches of images and labels on the device; order: a generator that shuffles them."""
    loader = DataLoader(
        images,
        batch_size,
        shuffle=order is not None,
        generator=order,
        num_workers=workers,
        pin_memory=device != "cpu",
        drop_last=order is not None and len(images) > batch_size,
    )
    for x, y in loader:
        yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)


def fine_tuned(
    folder: Folder,
    *,
    lambda_g: float,
    seed: int,
    weights: str | None,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float,
    device: str = "cpu",
    report: Report | None = None,
) -> nn.Module:
    """ResNet-50 fine-tuned by double backpropagation on the training images, in eval mode; kept in the store.

    Source: ET section 4: SGD, the rate divided by 10 whenever the error stops improving, read as PATIENCE
    epochs without a lower training loss. weights: where it starts, as in models.resnet50.
    A killed training goes on at its last epoch. Raises Diverged where the loss is no longer finite, and as
    images_of and models.resnet50 do.
    """
    images = images_of(folder, "train")
    settings = [lambda_g, seed, weights, epochs, batch_size, lr, momentum, folder.size]
    path = store_folder() / f"streamed-{_key(images, _TRAINING, settings)}.safetensors"
    with torch.random.fork_rng(devices=[device] if device != "cpu" else []):
        torch.manual_seed(seed)
        net = models.resnet50(size=folder.size, classes=len(images.dataset.classes), weights=weights)
        net = net.to(device)
        stored = verified(path)
        if stored is None:
            sgd = torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)
            feed = {"batch_size": batch_size, "workers": folder.workers, "device": device}
            history = _train(net, sgd, images, feed, lambda_g, epochs, seed, path, report)
            keep(path, save(net.state_dict()), {"settings": settings, "history": history})
            path.with_suffix(".partial").unlink(missing_ok=True)
        else:
            net.load_state_dict(load(stored))
    return net.eval()


def _train(
    net: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Dataset,
    feed: Mapping[str, Any],
    lambda_g: float,
    epochs: int,
    seed: int,
    path: Path,
    report: Report | None,
) -> list[dict[str, float]]:
    """Mean training loss of each epoch; a checkpoint beside `path` after each."""
    order, begun = torch.Generator().manual_seed(seed), path.with_suffix(".partial")
    history = resume(begun, net, optimiser, {"order": order})[0] if begun.exists() else []
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.1, patience=PATIENCE)
    for epoch in history:
        plateau.step(epoch["loss"])
    for epoch in range(len(history), epochs):
        net.train()
        total = [_step(net, optimiser, x, y, lambda_g) for x, y in batches(images, order=order, **feed)]
        history.append({"loss": torch.stack(total).mean().item()})
        if not isfinite(history[-1]["loss"]):
            raise Diverged(
                f"the loss of ResNet-50, lambda {lambda_g:g}, is {history[-1]['loss']} in epoch {epoch + 1}: "
                "lower lambda or the learning rate"
            )
        plateau.step(history[-1]["loss"])
        path.parent.mkdir(parents=True, exist_ok=True)
        save_state(begun, net, optimiser, {"order": order}, history, {})
        if report is not None:
            report(f"ResNet-50, lambda {lambda_g:g}, seed {seed}: epoch {epoch + 1} of {epochs}")
    return history


def _step(net: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, y: Tensor, lambda_g: float) -> Tensor:
    penalised = losses.double_backprop(net, x, y, lambda_g=lambda_g) if lambda_g else None
    loss = F.cross_entropy(net(x), y) if penalised is None else penalised
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def measured(
    folder: Folder,
    *,
    lambdas: Sequence[float],
    seeds: Sequence[int],
    attacks: Mapping[str, Mapping[str, Any]],
    device: str = "cpu",
    report: Report | None = None,
    **tuning: Any,
) -> pd.DataFrame:
    """What ET measures of every fine-tuned net on the validation images, a row a quantity.

    attacks: settings of functions of metrics.alignment_measures.ATTACKS, by name. tuning: of `fine_tuned`.
    Columns: model (lambda), seed, quantity, value (the median over images; the accuracy in per cent), each
    (of each image) and, for distances, attack.
    """
    images, rows = images_of(folder, "val"), []
    for seed in seeds:
        for weight in lambdas:
            net = fine_tuned(folder, lambda_g=weight, seed=seed, device=device, report=report, **tuning)
            if report is not None:
                report(f"measuring ResNet-50, lambda {weight:g}, seed {seed}")
            weights = hashlib.sha256(save(net.state_dict())).hexdigest()
            path = (
                store_folder()
                / f"measured-{_key(images, _MEASURING, [folder.size, weights, dict(attacks)])}.json"
            )
            feed = {"workers": folder.workers, "device": device}
            found = _kept(path, lambda net=net, feed=feed: values(net, images, attacks=attacks, **feed))
            rows += [{"model": weight, "seed": seed, **row} for row in found]
    return pd.DataFrame(rows)


def values(
    net: nn.Module,
    images: Dataset,
    *,
    attacks: Mapping[str, Mapping[str, Any]],
    batch_size: int = 20,
    workers: int = 0,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """alignment_values and nearest_distance of images that are read batch by batch, from ORIGIN, in one
    pass, and the accuracy."""
    each: dict[tuple[str, str], list[float]] = {}

    def add(found: Tensor, *name: str) -> None:
        each.setdefault(name, []).extend(found.abs().double().tolist())

    for x, y in batches(images, batch_size, workers=workers, device=device):
        origin = ORIGIN.to(x)
        terms = alignment_terms(net, x, origin=origin)
        for name in TERMS:
            add(getattr(terms, name), name, "")
        for name, found in alignments(terms, x, origin).items():
            add(found, name, "")
        own = guards.logits_of(net, x).argmax(1)
        add((own == y).double(), "clean_accuracy", "")
        for name, settings in attacks.items():
            add(ATTACKS[name](net, x, own, **settings).distance, "distance", name)
    middle = {"clean_accuracy": lambda of: 100 * fmean(of)}
    return [
        {"quantity": name, "attack": attack, "value": middle.get(name, median)(of), "each": of}
        for (name, attack), of in each.items()
    ]


def summaries(frame: pd.DataFrame, bounds: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """The rows of `measured` with, for every net, the shares of ET-F6 to F9 and the correlations over images
    of ET-F4 and F5: columns model, seed, quantity, value, attack, way ("" where they say nothing).

    bounds: the arguments of experiment.shares by the experiment's name.
    """
    linear = frame[frame["quantity"] == "rho_tilde"]
    others = {
        "alpha": frame[frame["quantity"] == "alpha"],
        "CW": frame[(frame["quantity"] == "distance") & (frame["attack"] == "CW")],
    }
    found = [shares(frame, *terms).assign(quantity=f"share {name}") for name, terms in bounds.items()]
    found += [pearson(linear, of).assign(quantity=f"pearson rho_tilde {n}") for n, of in others.items()]
    return pd.concat([frame.drop(columns="each"), *found]).fillna({"attack": "", "way": ""})


def pictures(
    folder: Folder,
    frame: pd.DataFrame,
    *,
    device: str = "cpu",
    report: Report | None = None,
    **tuning: Any,
) -> list[plots.Shown]:
    """ET-F2, and ET-F1 and ET-F10: three validation images and the gradients of the least and of the most
    robust net. frame: what `measured` returned."""
    x, y = "median distance (DDN)", "median α from the mean colour"
    far = frame[(frame["quantity"] == "distance") & (frame["attack"] == "DDN")]
    alpha = frame[frame["quantity"] == "alpha"].merge(far, on=["model", "seed"], suffixes=("", "_far"))
    alpha = alpha.assign(**{x: alpha["value_far"], y: alpha["value"]})
    colours = plots.ramp(sorted(frame["model"].unique()))
    fig = plots.points({"ET-F2": alpha}, x, y, colours, columns=1, names="λ")
    by_distance = far.groupby("model")["value"].mean().sort_values().index
    photos = torch.stack([image for image, _ in _first(images_of(folder, "val"), 3)]).to(device)
    rows = [("image", list(photos))]
    for weight in dict.fromkeys((by_distance[0], by_distance[-1])):
        net = fine_tuned(
            folder, lambda_g=weight, seed=int(far["seed"].min()), device=device, report=report, **tuning
        )
        terms = alignment_terms(net, photos, origin=ORIGIN.to(photos), chunk=1)
        maps = {"g": terms.g, "g†": terms.g_plus, "γ": terms.gamma}
        rows += [(f"{name}, λ = {weight:g}", list(of)) for name, of in maps.items()]
    told = f"{folder.label}: the least and the most robust net; each map ± its largest value over colours."
    return [
        plots.show(fig, alt=f"A dot for each net: {y} against {x}.", width="26rem"),
        plots.show(
            plots.gallery(rows, pixels="first row", cell=1.5), alt="Images and three gradients.", finding=told
        ),
    ]


def _first(images: Dataset, count: int) -> list[tuple[Tensor, int]]:
    return [images[i] for i in range(min(count, len(images)))]


def _key(images: Subset, code: Sequence[Callable], settings: Any) -> str:
    """A hash of what is computed, and of the names and sizes of the images in their order."""
    names = hashlib.sha256()
    for index in images.indices:
        file, label = images.dataset.samples[index]
        names.update(f"{label}/{Path(file).name}/{Path(file).stat().st_size}\n".encode())
    modules = fingerprint(*sorted({f.__module__ for f in code if f.__module__ != __name__}))
    own = [inspect.getsource(f) for f in code if f.__module__ == __name__]
    return digest([modules, own, torch.__version__, names.hexdigest(), settings])


_TRAINING = (images_of, batches, _train, _step, losses.double_backprop, models.resnet50)
_MEASURING = (images_of, batches, values, alignments)


def _kept(path: Path, compute: Callable[[], Any]) -> Any:
    stored = verified(path)
    if stored is None:
        stored = json.dumps(compute()).encode()
        keep(path, stored, {"function": f"{__name__}.values"})
    return json.loads(stored)
