"""A kept measurement is made again when anything changes that it depends on, and not otherwise."""

import dataclasses
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from companion import code, data, metrics, store
from companion.training import Recipe, part

PLAIN = Recipe(part("digits", n_train=100), part("digits_cnn"), epochs=1)
OTHER = dataclasses.replace(PLAIN, seed=1)

MODULE = '''"""Measures."""
from functools import cache, wraps

from companion.helper import added

LEVEL = 1


@cache
def level():
    return LEVEL


def twice(function):
    @wraps(function)
    def both(*args):
        return 2 * function(*args)
    return both


@twice
def doubled(value):
    return value


def planted(net, images, *, shift=0):
    """What the planted code says."""
    calls.append(1)
    return level() + doubled(0) + added() + shift


calls = []
'''
HELPER = "def added():\n    return 0\n"


@pytest.fixture(autouse=True)
def fresh_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(code, "PACKAGE", Path(shutil.copytree(code.PACKAGE, tmp_path / "companion")))
    yield
    for name in ("companion.planted", "companion.helper"):
        sys.modules.pop(name, None)
    forget()


def forget():
    """As in a new process."""
    code.fingerprint.cache_clear()
    code._imports.cache_clear()


def plant(source=MODULE, helper=HELPER):
    """The function `planted` of a module of the package that reads so, imported anew."""
    forget()
    for name, text in (("helper", helper), ("planted", source)):
        (code.PACKAGE / f"{name}.py").write_text(text)
        module = ModuleType(f"companion.{name}")
        sys.modules[module.__name__] = module
        exec(text, vars(module))
    return sys.modules["companion.planted"].planted


CHANGES = {
    "a constant behind a cached helper": (MODULE.replace("LEVEL = 1", "LEVEL = 5"), HELPER, 5),
    "a cached helper": (MODULE.replace("return LEVEL", "return LEVEL + 1"), HELPER, 2),
    "a decorated helper": (MODULE.replace("    return value", "    return value + 1"), HELPER, 3),
    "a decorator": (MODULE.replace("2 * function(*args)", "2 * function(*args) + 7"), HELPER, 8),
    "a default argument": (MODULE.replace("shift=0", "shift=4"), HELPER, 5),
    "an imported module": (MODULE, HELPER.replace("return 0", "return 2"), 3),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_code_measures_again(change):
    assert store.measure(plant(), PLAIN) == 1
    source, helper, expected = CHANGES[change]
    assert store.measure(plant(source, helper), PLAIN) == expected


@pytest.mark.parametrize(
    "source",
    [MODULE.replace('"""Measures."""', '"""Says."""'), MODULE.replace("LEVEL = 1", "LEVEL = 1  # why")],
)
def test_comments_docstrings_and_unrelated_modules_do_not(source):
    assert store.measure(plant(), PLAIN) == 1
    again = plant(source)
    (code.PACKAGE / "unrelated.py").write_text("x = 1\n")
    assert store.measure(again, PLAIN) == 1 and not sys.modules["companion.planted"].calls


def test_the_net_its_weights_and_the_images_count():
    function = plant()
    calls = sys.modules["companion.planted"].calls
    images = data.load("digits", n_train=100)
    darker = dataclasses.replace(images, x_test=images.x_test / 2)
    for recipe, of in ((PLAIN, None), (OTHER, None), (PLAIN, images), (PLAIN, darker)):
        store.measure(function, recipe, of)
        before = len(calls)
        store.measure(function, recipe, of)
        assert len(calls) == before
    assert len(calls) == 4


def test_every_setting_counts_by_its_value():
    function = plant()
    assert [store.measure(function, PLAIN, shift=s) for s in (0, 1, 1, 2)] == [1, 2, 2, 3]
    assert store.measure(function, PLAIN) == 1  # a default said or not is the same
    assert len(sys.modules["companion.planted"].calls) == 3


def test_a_recipe_among_the_settings_stands_for_its_net():
    function = plant(BETWEEN)
    mask = torch.ones(360, dtype=torch.bool)
    same = store.measure(function, PLAIN, other=PLAIN, mask=mask)
    assert same == 0 < store.measure(function, PLAIN, other=OTHER, mask=mask)
    assert store.measure(function, PLAIN, other=OTHER, mask=~mask) == 0


def test_other_versions_of_torch_measure_again(monkeypatch):
    function = plant()
    store.measure(function, PLAIN)
    monkeypatch.setattr(torch, "__version__", "9")
    store.measure(function, PLAIN)
    assert len(sys.modules["companion.planted"].calls) == 2


def test_what_has_no_key_is_refused_with_its_name():
    function = plant()
    with pytest.raises(TypeError, match="shift is a Generator, which has no key.*seed"):
        store.measure(function, PLAIN, shift=torch.Generator())
    with pytest.raises(TypeError, match="not a function of the package"):
        store.measure(lambda net, images: 1, PLAIN)

    def local(net, images):
        return 1

    local.__module__ = "companion.metrics.clean_accuracy"
    with pytest.raises(TypeError, match="top of its module"):
        store.measure(local, PLAIN)


def test_a_damaged_measurement_is_made_again():
    assert store.measure(plant(), PLAIN) == 1
    (path,) = [p for p in store.folder().glob("measured-*.json") if "note" not in p.name]
    path.write_text("5")
    with pytest.warns(UserWarning, match="checksum"):
        assert store.measure(plant(), PLAIN) == 1


def test_measurements_run_under_one_thread_and_leave_the_setting():
    threads = torch.get_num_threads()
    source = "import torch\ndef planted(net, images):\n    return torch.get_num_threads()\n"
    torch.set_num_threads(2)
    try:
        assert store.measure(plant(source), PLAIN) == 1 and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_accuracy_is_that_of_the_net_on_the_images():
    images = data.load("digits", n_train=100)
    right = store.get(PLAIN)(images.x_test).argmax(1) == images.y_test
    assert store.measure(metrics.clean_accuracy, PLAIN) == right.tolist()


BETWEEN = """
def planted(net, images, *, other, mask):
    return (net(images.x_test) - other(images.x_test))[mask].abs().sum().item()
"""


class TestMeasureAll:
    def recipes(self):
        return [
            Recipe(part("digits", n_train=40, n_test=20), part("digits_cnn"), epochs=1, seed=s)
            for s in range(3)
        ]

    def test_nets_are_gone_their_measurements_stay_and_nets_that_were_there_too(self, tmp_path, monkeypatch):
        monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
        first, *others = recipes = self.recipes()
        store.get(first)
        told = []
        found = store.measure_all(metrics.fraction_correct, recipes, begin=told.append, at_once=2)
        assert told == [recipes] and [store.present(r) for r in recipes] == [True, False, False]
        assert all(store.measured(metrics.fraction_correct, r) for r in recipes)
        assert not store.measured(metrics.clean_accuracy, first)
        again = store.measure_all(metrics.fraction_correct, recipes, begin=told.append)
        assert again == found and len(told) == 1 and store.missing(recipes) == others

    def test_the_size_counts_each_net_once(self):
        one, *_ = recipes = self.recipes()
        weights = sum(v.nbytes for v in store.get(one).state_dict().values())
        assert store.size([*recipes, one]) == 3 * weights
