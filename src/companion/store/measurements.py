"""What was measured on a trained net, kept by all it depends on: nothing kept can be out of date."""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from companion import data
from companion.code import NAME, fingerprint
from companion.defaults import torch_defaults
from companion.store.files import folder, keep, verified
from companion.store.keys import key
from companion.store.nets import (
    Report,
    discard,
    get,
    has_note,
    images_of,
    present,
    train_all,
    weights_hash,
)
from companion.tensors import one_thread
from companion.training.recipe import Recipe, digest


@torch_defaults()
def measure(
    function: Callable[..., Any],
    recipe: Recipe,
    images: data.Images | None = None,
    *,
    device: str = "cpu",
    report: Report | None = None,
    **settings: Any,
) -> Any:
    """function(net, images, **settings) for the recipe's trained net, or what it returned before.

    function: a function of this package, defined at the top of its module, that returns JSON values: numbers,
    lists and dicts of them. It takes the net, not the recipe.
    images: None for the recipe's own images, masked as the recipe says.
    settings: numbers, text, tensors, image sets, dataclasses, lists and dicts of these; a Recipe stands for
    its trained net. Random numbers come from a seed among them: a generator has no value that could be kept.

    The key is the function's dotted name, the code of the modules its module is made of, torch's version, the
    device's type, the net's recipe and weights, and the value of every argument, defaults included.
    Computed under one thread (tensors.one_thread). The net is trained first if it is missing.
    Raises TypeError for a function that is not of this package, and for an argument without a key.
    """
    path, name, net_key = _place(function, recipe, images, device, report, settings)

    def compute() -> Any:
        given = {
            k: get(v, device=device, report=report) if isinstance(v, Recipe) else v
            for k, v in settings.items()
        }
        net = get(recipe, device=device, report=report)
        return function(net, images_of(recipe, device) if images is None else images, **given)

    return _kept(path, compute, device, {"function": name, "net": net_key})


def measured(function: Callable[..., Any], recipe: Recipe, *, device: str = "cpu", **settings: Any) -> bool:
    """Whether `measure` of the recipe's own images has been kept; its net may be gone. Errors as there."""
    if not has_note(recipe):
        return False
    return verified(_place(function, recipe, None, device, None, settings)[0]) is not None


@torch_defaults()
def measure_all(
    function: Callable[..., Any],
    recipes: Iterable[Recipe],
    *,
    keep_nets: bool = False,
    at_once: int = 160,
    begin: Callable[[list[Recipe]], None] | None = None,
    device: str = "cpu",
    report: Report | None = None,
    **settings: Any,
) -> list[Any]:
    """`measure` of many nets that nobody needs afterwards, on their own images, in the order of the recipes.

    What is not kept yet is trained as train_all does, `at_once` nets after the other, measured, and its
    weights are removed again; nets that were in the store stay there. The notes of removed nets stay, so that
    their measurements are found. Sources of the recipes are trained and stay.
    keep_nets: keep the weights too. begin: told once, before anything is trained, whose measurements are not
    kept yet, if there are any. settings: the same for all nets. Errors as in train_all and measure.
    """
    recipes, how = list(recipes), {"device": device, "report": report}
    left = [r for r in dict.fromkeys(recipes) if not measured(function, r, device=device, **settings)]
    if left and begin is not None:
        begin(left)
    for first in range(0, len(left), at_once):
        batch = left[first : first + at_once]
        passing = [] if keep_nets else [r for r in batch if not present(r)]
        train_all(batch, **how)
        for recipe in batch:
            measure(function, recipe, **how, **settings)
        for recipe in passing:
            discard(recipe)
    return [measure(function, recipe, **how, **settings) for recipe in recipes]


def _place(
    function: Callable[..., Any],
    recipe: Recipe,
    images: data.Images | None,
    device: str,
    report: Report | None,
    settings: dict[str, Any],
) -> tuple[Any, str, Any]:
    """The file of a measurement, the function's dotted name and the net's key. Errors as in measure."""
    name = f"{function.__module__}.{function.__qualname__}"
    if not function.__module__.startswith(f"{NAME}.") or not function.__qualname__.isidentifier():
        raise TypeError(
            f"{name} is not a function of the package at the top of its module, so its code has no name to "
            "keep results by: move it into the package, or call it without store.measure"
        )
    bound = inspect.signature(function).bind(recipe, images, **settings)
    bound.apply_defaults()
    rest = {k: v for k, v in bound.arguments.items() if v is not recipe and v is not images}
    net_key = _value_key("net", recipe, device, report)
    images_key = None if images is None else _value_key("images", images, device, report)
    settings_key = {k: _value_key(k, v, device, report) for k, v in rest.items()}
    code = name, fingerprint(function.__module__), torch.__version__, torch.device(device).type
    return folder() / f"measured-{digest([*code, net_key, images_key, settings_key])}.json", name, net_key


def _kept(path: Any, compute: Callable[[], Any], device: str, note: dict[str, Any]) -> Any:
    stored = verified(path)
    if stored is not None:
        return json.loads(stored)
    with one_thread(device):
        result = compute()
    content = json.dumps(result)
    keep(path, content.encode(), note)
    return json.loads(content)  # as it will be read again: tuples are lists


def _value_key(name: str, value: Any, device: str, report: Report | None) -> Any:
    """JSON that differs where the value does."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Recipe):
        return ["net", key(value), weights_hash(value, device=device, report=report)]
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        return ["tensor", str(value.dtype), list(value.shape), hashlib.sha256(content).hexdigest()]
    if isinstance(value, torch.dtype):
        return ["dtype", str(value)]
    if is_dataclass(value) and not isinstance(value, type):
        of = [
            [f.name, _value_key(f"{name}.{f.name}", getattr(value, f.name), device, report)]
            for f in fields(value)
        ]
        return [type(value).__qualname__, of]
    if isinstance(value, list | tuple):
        return ["list", [_value_key(f"{name}[{i}]", v, device, report) for i, v in enumerate(value)]]
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return ["dict", {k: _value_key(f"{name}[{k!r}]", v, device, report) for k, v in value.items()}]
    raise TypeError(
        f"{name} is a {type(value).__name__}, which has no key to keep a measurement by: give numbers, text, "
        "tensors, image sets, recipes, or lists and dicts of these (a seed for a generator)"
    )
