"""A net's name covers the code that reads its own images, and no other reader."""

import pytest

from companion import code, store
from companion.training.recipe import Recipe, part

READERS = {
    "mnist_small": {"packaged"},
    "digits": {"packaged"},
    "mnist": {"downloaded"},
    "fashion_mnist": {"downloaded"},
    "cifar10": {"downloaded"},
    "folder": {"folders", "listing"},
    "gaussians": {"toys"},
}
ALL = set().union(*READERS.values())
SHARED = {"pixels", "image_set"}
CHOICES = {"images", "sources"}  # which reader, and what is said of a set that is not there


@pytest.fixture
def touched(monkeypatch):
    """Whether a recipe's key changes with the code of a module of companion.data."""
    monkeypatch.setattr(store.keys, "identity", str)

    def with_code(recipe, changed):
        read = code._read
        with monkeypatch.context() as patch:
            patch.setattr(code, "_read", lambda n: read(n) + "\nx = 1" * (n == f"companion.data.{changed}"))
            code.fingerprint.cache_clear()
            key = store.key(recipe)
        code.fingerprint.cache_clear()
        return key

    return lambda recipe, module: with_code(recipe, module) != with_code(recipe, None)


def recipe(name, **settings):
    return Recipe(part(name, **settings), part("mlp"))


@pytest.mark.parametrize("name", READERS)
def test_a_net_depends_on_the_reader_of_its_own_set_alone(name, touched, tmp_path):
    net = recipe(f"folder:{tmp_path}" if name == "folder" else name)
    shared = SHARED - {"pixels"} if name == "gaussians" else SHARED
    depends = {module for module in ALL | SHARED | CHOICES if touched(net, module)}
    assert depends == READERS[name] | shared


@pytest.mark.parametrize("of", ["digits", "mnist", "folder"])
def test_blocks_depend_on_the_reader_of_the_images_they_are_made_of(of, touched, tmp_path):
    net = recipe("block_mnist", of=f"folder:{tmp_path}" if of == "folder" else of)
    depends = {module for module in ALL | SHARED | CHOICES | {"block_mnist"} if touched(net, module)}
    assert depends == READERS[of] | SHARED | {"block_mnist"}
