"""The name of a trained net: everything that it depends on, as a hash."""

from functools import lru_cache
from typing import Any

from companion import attacks, data, losses, models, saliency, transforms
from companion.code import PACKAGE, code_hash, fingerprint
from companion.training import stacked
from companion.training.recipe import Part, Recipe, digest, needed


def key(recipe: Recipe) -> str:
    """The name of a recipe's files: a hash of the recipe, the code that trains it, the data's identity and
    the names of its sources."""
    sources = [key(source) for source in needed(recipe)[:-1]]
    return digest([_settings(recipe), _training_code(recipe), identity(recipe.data), sources])


@lru_cache(maxsize=4096)
def _settings(recipe: Recipe) -> Any:
    """The recipe's own part of its key, kept: a chapter asks for the key of one recipe again and again."""
    return _without_places(recipe.as_dict())


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
    functions += [data.maker(recipe.data.name)] if recipe.data.name in data.BUILT else []
    read = recipe.data.kwargs.get("of", recipe.data.name)
    functions += [] if read in data.DRAWN else [data.reader(read), data.delivered]
    functions += [data.augment] if recipe.augment else []
    functions += [saliency.masked] if recipe.mask else []
    functions += [saliency.threshold, saliency.other_images] if recipe.target else []
    functions += [attacks.correct] if recipe.select == "best_test" else []
    loops = ("loop.py", "recipe.py", *(["stacked.py"] if stacked.kind(recipe) else []))
    # `load` chooses the reader, which is counted itself: followed, it would lead to the readers of all sets.
    modules = sorted({f.__module__ for f in functions})
    return [_loop_code(loops), fingerprint(*modules, without=data.load.__module__)]


@lru_cache
def _loop_code(files: tuple[str, ...]) -> str:
    """The training loop's own code; it imports every loss and model there is, so imports are not followed."""
    return code_hash({name: (PACKAGE / "training" / name).read_text("utf-8") for name in files})


@lru_cache
def identity(recipe_data: Part) -> str:
    """data.identity, asked once a process: for a folder it looks at every file.

    Of a set that is made of another: that of the other.
    """
    return data.identity(recipe_data.kwargs.get("of", recipe_data.name))
