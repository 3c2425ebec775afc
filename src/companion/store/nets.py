"""Trained nets, kept by the hash of their recipe.

A net is trained once and found by every chapter, notebook and rerun. Weights are safetensors beside a JSON
file with the recipe, the history and the weights' checksum: written aside, renamed, verified on load, and
made again when damaged. The hash covers the code that trains, so a changed loss is never served old nets.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from companion import data
from companion.defaults import torch_defaults
from companion.locks import lock
from companion.store.files import folder, keep, note_of, verified
from companion.store.inputs import images, masked_images, target_maps
from companion.store.keys import key
from companion.tensors import one_thread
from companion.training import processes, stacked
from companion.training.loop import Diverged, build_model, channels_last, time_step, train
from companion.training.recipe import Recipe, Target, needed

Report = Callable[[str], None]


def images_of(recipe: Recipe, device: str = "cpu") -> data.Images:
    """What the recipe's net is trained and tested on: the recipe's images, masked as the recipe says."""
    return masked_images(recipe, device, _source_on(device))


@torch_defaults()
def maps(target: Target, recipe: Recipe, *, device: str = "cpu", report: Report | None = None) -> Tensor:
    """The source net's maps of all training images of `recipe`, permuted, not yet thresholded."""

    def source(of: Recipe) -> nn.Module:
        net = get(of, device=device, report=report)
        if report is not None:
            report(f"{target.map.name} maps of {of.describe()}")
        return net

    return target_maps(target, recipe, device, source)


@lru_cache
def _source_on(device: str) -> Callable[[Recipe], nn.Module]:
    return partial(get, device=device)  # one for each device: what is cached by it is found again


@torch_defaults()
def get(recipe: Recipe, *, device: str = "cpu", report: Report | None = None) -> nn.Module:
    """The recipe's trained net, in eval mode: loaded if it is there, else trained, its sources first.

    report: called with a line of text while something is being trained.
    Raises what training raises, and PermissionError for a net that a read-only store lacks; a truncated or
    altered file is warned about and made again.
    """
    weights = _weights_of(recipe)
    weights.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(weights.parent, os.W_OK):  # a store that others keep, on which nothing can be locked
        stored = verified(weights)
        if stored is None:
            raise PermissionError(
                f"the store {weights.parent} is read-only and has no {recipe.describe()}; "
                "let COMPANION_STORE name a folder of your own"
            )
    else:
        with lock(weights.with_suffix(".lock")):  # another process may be training the same net
            stored = verified(weights)
            if stored is None:
                return _train(recipe, weights, device, report)
    with torch.random.fork_rng(devices=[]):
        model = build_model(recipe, images(recipe.data, device)).to(device)
    model.load_state_dict(load(stored))
    return channels_last(model.eval())


def _train(recipe: Recipe, weights: Path, device: str, report: Report | None) -> nn.Module:
    target = None if recipe.target is None else maps(recipe.target, recipe, device=device, report=report)
    begun = weights.with_suffix(".partial")
    began = time.monotonic()

    def progress(share: float) -> None:
        left = (time.monotonic() - began) * (1 - share) / share
        report(f"training {recipe.describe()}: {share:.0%}, {_duration(left)} left")

    model, history = train(
        recipe,
        images_of(recipe, device),
        target=target,
        checkpoint=begun,
        progress=report and progress,
    )
    _keep(recipe, model, history)
    begun.unlink(missing_ok=True)
    return channels_last(model)


def _get_group(group: tuple[Recipe, ...], *, device: str = "cpu", report: Report | None = None) -> None:
    """Have the group's nets in the store: several trained together, one as `get` has it.

    What cannot be trained together, and what was begun alone, is trained alone. Raises the first failure.
    """
    done = _train_stack(group, device, report) if len(group) > 1 else {}
    failures = [result for result in done.values() if result is not None]
    for recipe in group:
        if recipe not in done:
            try:
                get(recipe, device=device, report=report)
            except Exception as failure:
                failures.append(failure)
    if failures:
        raise failures[0]


def _train_stack(
    group: tuple[Recipe, ...], device: str, report: Report | None
) -> dict[Recipe, Diverged | None]:
    """Train and keep in one stack what the store lacks of the group; returns these, and which diverged.

    Where the stack fails as a whole, for one member's mask or noise, nothing is kept and none returned.
    """

    def progress(share: float) -> None:
        report(f"training {len(left)} like {left[0].describe()} together: {share:.0%}")

    folder().mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for path in sorted(_weights_of(recipe) for recipe in group):  # sorted: no two groups wait in a circle
            stack.enter_context(lock(path.with_suffix(".lock")))
        begun = [_weights_of(recipe).with_suffix(".partial").exists() for recipe in group]
        left = [r for r, alone in zip(group, begun, strict=True) if not (alone or present(r))]
        if len(left) < 2:
            return {}
        try:
            sets = [images_of(recipe, device) for recipe in left]
            found = stacked.train(left, sets, progress=report and progress)
        except Exception:
            return {}
        for recipe, result in zip(left, found, strict=True):
            if not isinstance(result, Diverged):
                _keep(recipe, *result)
    return {r: f if isinstance(f, Diverged) else None for r, f in zip(left, found, strict=True)}


def _keep(recipe: Recipe, model: nn.Module, history: list[dict[str, float]]) -> None:
    keep(
        _weights_of(recipe),
        save({k: v.clone(memory_format=torch.contiguous_format) for k, v in model.state_dict().items()}),
        {"recipe": recipe.as_dict(), "history": history, "torch": torch.__version__},
    )


def _weights_of(recipe: Recipe) -> Path:
    return folder() / f"{key(recipe)}.safetensors"


def weights_hash(recipe: Recipe, *, device: str = "cpu", report: Report | None = None) -> str:
    """The SHA-256 of the recipe's trained weights, as its note says; the net is trained if it is missing."""
    note = note_of(_weights_of(recipe))
    try:
        return json.loads(note.read_text("utf-8"))["sha256"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none yet, or damaged
        get(recipe, device=device, report=report)
    return json.loads(note.read_text("utf-8"))["sha256"]


def history(recipe: Recipe) -> list[dict[str, float]]:
    """Loss and seconds of every epoch of a stored net. Raises FileNotFoundError for a net not trained yet."""
    return json.loads((folder() / f"{key(recipe)}.json").read_text("utf-8"))["history"]


def get_all(
    recipes: Iterable[Recipe], *, device: str = "cpu", jobs: int | None = None, report: Report | None = None
) -> list[nn.Module]:
    """The nets of all recipes, in their order, with those missing trained first; see train_all."""
    recipes = list(recipes)
    train_all(recipes, device=device, jobs=jobs, report=report)
    return [get(recipe, device=device, report=report) for recipe in recipes]


@torch_defaults()
def train_all(
    recipes: Iterable[Recipe], *, device: str = "cpu", jobs: int | None = None, report: Report | None = None
) -> None:
    """Train and keep the nets that are missing, sources before users, without loading them all at once.

    jobs: processes of one thread on a CPU, this one among them (default: its number of torch threads, since
    small nets gain far more from a second process than from a second thread); on a GPU this one alone. Nets
    of one kind that wait for the same sources are trained together, in one stack (stacked.train).
    A net that finished stays, whatever happens to the others. Raises the first failure, after the rest ran.
    """
    left = missing(recipes)
    groups = _groups(left, device)
    workers = _workers(jobs, device, groups)

    def progress(done: int, running: int, text: str) -> None:
        if workers > 1:
            report(f"trained {done} of {len(left)} nets, {running} at a time{text and '; here: '}{text}")
        elif text:
            report(f"net {done + 1} of {len(left)}: {text}")

    with one_thread(device):
        processes.run(
            groups,
            needs=lambda group: {source for source in needed(group[0])[:-1] if source in left},
            here=lambda group, say: _get_group(group, device=device, report=say),
            there=_get_group,
            jobs=workers,
            begin=_begin,
            gives=lambda group: group,
            given=present,
            weight=len,
            report=report and progress,
        )


def present(recipe: Recipe) -> bool:
    """Whether the recipe's net is in the store, whole."""
    return verified(_weights_of(recipe)) is not None


def has_note(recipe: Recipe) -> bool:
    """Whether the recipe's net was in the store, even if its weights are gone."""
    return note_of(_weights_of(recipe)).is_file()


def discard(recipe: Recipe) -> None:
    """Remove the net's weights; its note stays, by which what was measured on it is found."""
    _weights_of(recipe).unlink(missing_ok=True)


@torch_defaults()
def size(recipes: Iterable[Recipe], *, device: str = "cpu") -> int:
    """Bytes that the weights of these nets take on the disk, each net counted once."""
    each: dict[Any, int] = {}
    total = 0
    for recipe in dict.fromkeys(recipes):
        if (recipe.data, recipe.model) not in each:
            with torch.random.fork_rng(devices=[]):
                net = build_model(recipe, images(recipe.data, device))
            each[recipe.data, recipe.model] = sum(v.nbytes for v in net.state_dict().values())
        total += each[recipe.data, recipe.model]
    return total


def missing(recipes: Iterable[Recipe]) -> list[Recipe]:
    """What has to be trained for these recipes: each net once, sources before their users."""
    return [r for r in dict.fromkeys(n for recipe in recipes for n in needed(recipe)) if not present(r)]


@torch_defaults()
def estimate(recipes: Iterable[Recipe], *, device: str = "cpu", jobs: int | None = None) -> str:
    """One line: how many nets are still to train, and about how long that takes here, from timed steps.

    Each kind of training (data, model, loss, transform and its steps) is timed on two steps; target maps and
    masks are not counted.
    """
    recipes = list(recipes)
    left = missing(recipes)
    groups = _groups(left, device)
    if not left:
        return f"All {len(set(recipes))} nets are in the store; nothing is trained."
    seconds: dict[Any, float] = {}
    total = 0.0
    for group in groups:
        recipe = group[0]
        chosen = images(recipe.data, device)
        transform = recipe.inputs and (recipe.inputs.name, recipe.inputs.kwargs.get("steps"))
        alike = (recipe.data.name, recipe.model, recipe.loss.name, transform, recipe.batch_size, len(group))
        if alike not in seconds:
            alone = len(group) == 1
            seconds[alike] = time_step(recipe, chosen) if alone else stacked.time_step(group, chosen)
        steps = recipe.epochs * math.ceil(len(chosen.x_train) / recipe.batch_size)
        total += seconds[alike] * steps * len(group)
    workers = _workers(jobs, device, groups)
    beside = f"in {workers} processes" if workers > 1 else "in one process"
    return f"{len(left)} nets to train, about {_duration(total / workers)} {beside}."


def _groups(left: list[Recipe], device: str) -> list[tuple[Recipe, ...]]:
    """What is trained at once: nets of one kind with the same sources, as many as fit; the others alone."""
    found: dict[Any, list[Recipe]] = {}
    for recipe in left:
        shared = stacked.kind(recipe)
        found.setdefault((shared, *needed(recipe)[:-1]) if shared else recipe, []).append(recipe)
    groups = []
    for members in found.values():
        most = stacked.at_once(members[0], images(members[0].data, device)) if len(members) > 1 else 1
        groups += [tuple(members[i : i + most]) for i in range(0, len(members), most)]
    return groups


def _workers(jobs: int | None, device: str, groups: list[tuple[Recipe, ...]]) -> int:
    if device != "cpu":
        return 1
    return max(1, min(torch.get_num_threads() if jobs is None else jobs, len(groups)))


def _begin() -> None:
    torch.set_num_threads(1)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
