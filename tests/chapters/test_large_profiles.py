"""What a laptop does not run, profiles gpu and paper: the first net of every chapter is estimated and learns.

With the settings the profiles have, on small files in the formats of the real sets; one epoch of it.
Not so discriminative_features, whose nets of the paper's size and epochs are in results/.
"""

import math
import re
from dataclasses import replace

import pytest

from companion import experiment, store, training
from companion.publishing.running import notebooks
from tests.chapters.test_form import REBUILT
from tests.data.conftest import cifar_known, cifar_root, home, mnist_root  # noqa: F401

pytestmark = pytest.mark.slow

#: All images of the small files, and few of the random nets that theorems are checked on before training.
SIZES = (
    "n_train",
    "n_test",
    "images_n_train",
    "images_n_test",
    "block_n_train",
    "block_n_test",
    "roar_n_train",
    "second_n_train",
    "second_n_test",
)
SMALLER = dict.fromkeys(SIZES, 0) | {"random_nets": 2, "bound_nets": 2, "imagenet": False}


class FirstNetsError(Exception):
    """A chapter came to the first nets it trains: their recipes."""


def first_nets(name, profile, monkeypatch):
    """The recipes of the first nets that a chapter trains in a profile, by executing it up to there."""

    def stop(recipes_of, seeds, **how):
        raise FirstNetsError(recipes_of(next(iter(seeds))))

    monkeypatch.setattr(experiment, "train", stop)
    namespace = {"In": []}
    with pytest.raises(FirstNetsError) as reached:
        for cell in notebooks.read(notebooks.source_path(name)).cells:
            if cell.cell_type == "code":
                namespace["In"].append(cell.source)
                exec(cell.source, namespace)
                if notebooks.is_tagged(cell, "parameters"):
                    namespace.update(notebooks.profile_values(name, profile)[1])
                    namespace.update({n: small for n, small in SMALLER.items() if n in namespace})
    return reached.value.args[0]


@pytest.mark.parametrize("profile", ("gpu", "paper"))
@pytest.mark.parametrize("name", [n for n in REBUILT if n != "discriminative_features"])
def test_the_first_net_is_estimated_and_learns(name, profile, mnist_root, cifar_root, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setenv("COMPANION_DATA", str(mnist_root))
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    first = next(iter(first_nets(name, profile, monkeypatch).values()))
    assert re.match(r"1 nets to train, about \d", store.estimate([first]))
    _, history = training.train(replace(first, epochs=1), store.images(first.data, "cpu"))
    assert math.isfinite(history[-1]["loss"])
