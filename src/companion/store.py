"""Trained nets, their target maps and what was measured on them, kept by the hash of their recipe.

A net is trained once and found by every chapter, notebook and rerun. Weights are safetensors beside a JSON
file with the recipe, the history and the weights' checksum: written aside, renamed, verified on load, and
made again when damaged. The hash covers the code that trains, so a changed loss is never served old nets.
"""

import hashlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import load, save
from torch import Tensor, nn

from companion import attacks, data, losses, models, saliency, side_by_side, together, transforms
from companion.fingerprint import PACKAGE, code_hash, code_of, fingerprint
from companion.recipes import Part, Recipe, Target, digest, needed
from companion.training import Diverged, build_model, call, channels_last, time_step, train

Report = Callable[[str], None]


def folder() -> Path:
    """COMPANION_STORE, else runs/store of the checkout, else ~/.cache/companion/store."""
    checkout = PACKAGE.parents[1]
    if "COMPANION_STORE" in os.environ:
        return Path(os.environ["COMPANION_STORE"])
    if (checkout / "pyproject.toml").exists():
        return checkout / "runs" / "store"
    return Path.home() / ".cache" / "companion" / "store"


def key(recipe: Recipe) -> str:
    """The name of a recipe's files: a hash of the recipe, the code that trains it, the data's identity and
    the names of its sources."""
    sources = [key(source) for source in needed(recipe)[:-1]]
    parts = _without_places(recipe.as_dict())
    return digest([parts, _training_code(recipe), _identity(recipe.data), sources])


def _without_places(value: Any) -> Any:
    """Plain JSON values without the paths of image folders, which say nothing of what is in them."""
    if isinstance(value, dict):
        return {k: _without_places(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(v) for v in value]
    return "folder" if isinstance(value, str) and value.startswith("folder:") else value


def _training_code(recipe: Recipe) -> list[str]:
    """Hashes of the loop's code and of the code of the functions this recipe names, and of no others."""
    parts = [(models, recipe.model), (losses, recipe.loss)]
    if recipe.inputs is not None:
        parts.append((transforms, recipe.inputs))
    if recipe.target is not None:
        parts.append((saliency, recipe.target.map))
    if recipe.mask is not None and recipe.mask.map is not None:
        parts.append((saliency, recipe.mask.map))
    functions = [getattr(namespace, chosen.name) for namespace, chosen in parts]
    functions += [data.maker(recipe.data.name) if recipe.data.name in data.BUILT else data.load]
    functions += [data.augment] if recipe.augment else []
    functions += [saliency.masked] if recipe.mask else []
    functions += [saliency.threshold] if recipe.target else []
    functions += [attacks.correct] if recipe.select == "best_test" else []
    loops = ("training.py", "recipes.py", *(["together.py"] if together.kind(recipe) else []))
    return [_loop_code(loops), fingerprint(*sorted({f.__module__ for f in functions}))]


@lru_cache
def _loop_code(files: tuple[str, ...]) -> str:
    """The training loop's own code; it imports every loss and model there is, so imports are not followed."""
    return code_hash({name: (PACKAGE / name).read_text("utf-8") for name in files})


@lru_cache
def _identity(recipe_data: Part) -> str:
    """data.identity, asked once a process: for a folder it looks at every file.

    Of a set that is made of another: that of the other.
    """
    return data.identity(recipe_data.kwargs.get("of", recipe_data.name))


@lru_cache(maxsize=2)
def images(recipe_data: Part, device: str) -> data.Images:
    """The recipe's images, whole, on the device."""
    return data.maker(recipe_data.name)(device=device, **recipe_data.kwargs)


def images_of(recipe: Recipe, device: str = "cpu") -> data.Images:
    """What the recipe's net is trained and tested on: the recipe's images, masked as the recipe says."""
    whole, mask = images(recipe.data, device), recipe.mask
    if mask is None:
        return whole
    ranks = _ranks(recipe.data, mask.source, mask.map, mask.unit, mask.seed, device)
    fill = saliency.fill_value(whole.x_train, mask.fill)
    masked = [
        saliency.masked(x, r, mask.share, remove=mask.remove, fill=fill, shows=mask.shows)
        for x, r in zip((whole.x_train, whole.x_test), ranks, strict=True)
    ]
    return replace(whole, x_train=masked[0], x_test=masked[1])


@lru_cache(maxsize=2)
def _ranks(
    recipe_data: Part, source: Recipe | None, chosen: Part | None, unit: str, seed: int, device: str
) -> tuple[Tensor, Tensor]:
    """saliency.ranks of the training and the test images, which masks of every share are cut from."""
    whole = images(recipe_data, device)
    generator = torch.Generator(device).manual_seed(seed)
    ranks = []
    for x, y in ((whole.x_train, whole.y_train), (whole.x_test, whole.y_test)):
        if chosen is None:
            found = torch.rand(x.shape, generator=generator, device=device)
        else:
            found = call(saliency, chosen, get(source, device=device), x, y, generator=generator)
        ranks.append(saliency.ranks(found, unit=unit, generator=generator))
    return ranks[0], ranks[1]


def get(recipe: Recipe, *, device: str = "cpu", report: Report | None = None) -> nn.Module:
    """The recipe's trained net, in eval mode: loaded if it is there, else trained, its sources first.

    report: called with a line of text while something is being trained.
    Raises what training raises; a truncated or altered file is warned about and made again.
    """
    weights = _weights_of(recipe)
    weights.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(weights.with_suffix(".lock")):  # another process may be training the same net
        stored = _verified(weights)
        if stored is None:
            return _train(recipe, weights, device, report)
    with torch.random.fork_rng(devices=[]):
        model = build_model(recipe, images(recipe.data, device)).to(device)
    model.load_state_dict(load(stored))
    return channels_last(model.eval())


def _train(recipe: Recipe, weights: Path, device: str, report: Report | None) -> nn.Module:
    target = None if recipe.target is None else maps(recipe.target, recipe, device=device, report=report)
    partial = weights.with_suffix(".partial")
    began = time.monotonic()

    def progress(share: float) -> None:
        left = (time.monotonic() - began) * (1 - share) / share
        report(f"training {recipe.describe()}: {share:.0%}, {_duration(left)} left")

    with _one_thread(device):
        model, history = train(
            recipe,
            images_of(recipe, device),
            target=target,
            checkpoint=partial,
            progress=report and progress,
        )
    _keep(recipe, model, history)
    partial.unlink(missing_ok=True)
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
            stack.enter_context(FileLock(path.with_suffix(".lock")))
        begun = [_weights_of(recipe).with_suffix(".partial").exists() for recipe in group]
        left = [r for r, alone in zip(group, begun, strict=True) if not (alone or present(r))]
        if len(left) < 2:
            return {}
        try:
            sets = [images_of(recipe, device) for recipe in left]
            with _one_thread(device):
                found = together.train(left, sets, progress=report and progress)
        except Exception:
            return {}
        for recipe, result in zip(left, found, strict=True):
            if not isinstance(result, Diverged):
                _keep(recipe, *result)
    return {r: f if isinstance(f, Diverged) else None for r, f in zip(left, found, strict=True)}


def _keep(recipe: Recipe, model: nn.Module, history: list[dict[str, float]]) -> None:
    _write(
        _weights_of(recipe),
        save({k: v.contiguous() for k, v in model.state_dict().items()}),
        {"recipe": recipe.as_dict(), "history": history, "torch": torch.__version__},
    )


def _weights_of(recipe: Recipe) -> Path:
    return folder() / f"{key(recipe)}.safetensors"


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """On a CPU one thread trains a net, alone or beside others: sums round alike, so weights agree."""
    threads = torch.get_num_threads()
    try:
        if device == "cpu":
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)


def history(recipe: Recipe) -> list[dict[str, float]]:
    """Loss and seconds of every epoch of a stored net. Raises FileNotFoundError for a net not trained yet."""
    return json.loads((folder() / f"{key(recipe)}.json").read_text("utf-8"))["history"]


def maps(target: Target, recipe: Recipe, *, device: str = "cpu", report: Report | None = None) -> Tensor:
    """The source net's maps of all training images of `recipe`, permuted, not yet thresholded."""
    images_of = recipe.data.name, recipe.data.settings, _identity(recipe.data)
    unpermuted = key(target.source), target.map.name, target.map.settings, images_of, target.seed
    path = folder() / f"maps-{digest(unpermuted)}.safetensors"
    stored = _verified(path)
    if stored is not None:
        result = load(stored)["maps"].to(device)
    else:
        model = get(target.source, device=device, report=report)
        if report is not None:
            report(f"{target.map.name} maps of {target.source.describe()}")
        chosen = images(recipe.data, device)
        generator = torch.Generator(device).manual_seed(target.seed)
        result = call(saliency, target.map, model, chosen.x_train, chosen.y_train, generator=generator)
        _write(path, save({"maps": result.contiguous()}), {"map": [target.map.name, target.map.kwargs]})
    if target.permute == 0:
        return result
    generator = torch.Generator(device).manual_seed(target.seed)
    return saliency.permute(result, target.permute, generator=generator)


def get_all(
    recipes: Iterable[Recipe], *, device: str = "cpu", jobs: int | None = None, report: Report | None = None
) -> list[nn.Module]:
    """The nets of all recipes, in their order, with those missing trained first; see train_all."""
    recipes = list(recipes)
    train_all(recipes, device=device, jobs=jobs, report=report)
    return [get(recipe, device=device, report=report) for recipe in recipes]


def train_all(
    recipes: Iterable[Recipe], *, device: str = "cpu", jobs: int | None = None, report: Report | None = None
) -> None:
    """Train and keep the nets that are missing, sources before users, without loading them all at once.

    jobs: processes of one thread on a CPU, this one among them (default: its number of torch threads, since
    small nets gain far more from a second process than from a second thread); on a GPU this one alone. Nets
    of one kind that wait for the same sources are trained together, in one stack (together.train).
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

    with _one_thread(device):
        side_by_side.run(
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
    return _verified(_weights_of(recipe)) is not None


def missing(recipes: Iterable[Recipe]) -> list[Recipe]:
    """What has to be trained for these recipes: each net once, sources before their users."""
    return [r for r in dict.fromkeys(n for recipe in recipes for n in needed(recipe)) if not present(r)]


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
            seconds[alike] = time_step(recipe, chosen) if alone else together.time_step(group, chosen)
        steps = recipe.epochs * math.ceil(len(chosen.x_train) / recipe.batch_size)
        total += seconds[alike] * steps * len(group)
    workers = _workers(jobs, device, groups)
    beside = f"in {workers} processes" if workers > 1 else "in one process"
    return f"{len(left)} nets to train, about {_duration(total / workers)} {beside}."


def _groups(left: list[Recipe], device: str) -> list[tuple[Recipe, ...]]:
    """What is trained at once: nets of one kind with the same sources, as many as fit; the others alone."""
    found: dict[Any, list[Recipe]] = {}
    for recipe in left:
        shared = together.kind(recipe)
        found.setdefault((shared, *needed(recipe)[:-1]) if shared else recipe, []).append(recipe)
    groups = []
    for members in found.values():
        most = together.at_once(members[0], images(members[0].data, device)) if len(members) > 1 else 1
        groups += [tuple(members[i : i + most]) for i in range(0, len(members), most)]
    return groups


def _workers(jobs: int | None, device: str, groups: list[tuple[Recipe, ...]]) -> int:
    if device != "cpu":
        return 1
    return max(1, min(torch.get_num_threads() if jobs is None else jobs, len(groups)))


def remember(recipe: Recipe, what: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """compute(), or what it returned before for this net and these settings (plain JSON values).

    what: everything besides the net and the code of `compute` that the result depends on. A changed metric,
    attack or training measures again, and so does a change in `compute` or in a function of the notebook it
    calls, or another version of torch; a damaged file too.
    """
    path = folder() / f"measured-{digest([key(recipe), what, code_of(compute), torch.__version__])}.json"
    stored = _verified(path)
    if stored is not None:
        return json.loads(stored)
    result = compute()
    _write(path, json.dumps(result).encode(), {"what": what})
    return result


def _verified(path: Path) -> bytes | None:
    """The file's bytes if it is there and whole; None, with a warning when it was damaged, otherwise."""
    note = _note_of(path)
    try:
        content, sha256 = path.read_bytes(), json.loads(note.read_text("utf-8"))["sha256"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        warnings.warn(f"{note.name} in the store is damaged; it will be made again", stacklevel=3)
        return None
    if hashlib.sha256(content).hexdigest() != sha256:
        warnings.warn(f"{path.name} in the store is damaged (checksum); it will be made again", stacklevel=3)
        return None
    return content


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json") if path.suffix != ".json" else path.with_suffix(".note.json")


def _write(path: Path, content: bytes, note: dict[str, Any]) -> None:
    """Content first, then the note with its checksum: without a whole note the content does not count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"sha256": hashlib.sha256(content).hexdigest(), **note}, indent=1)
    for target, payload in ((path, content), (_note_of(path), text.encode())):
        aside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        aside.write_bytes(payload)
        aside.replace(target)


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
