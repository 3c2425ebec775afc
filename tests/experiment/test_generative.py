"""A VAE-GAN is trained for the first number of epochs that is enough, and test images choose nothing."""

import pandas as pd
import pytest
import torch

from companion import experiment, metrics
from companion.training import Recipe, part


def recipe(epochs):
    return Recipe(
        data=part("digits", n_train=80, hold_out=0.25),
        model=part("vaegan", width=4, latent=2),
        loss=part("vaegan", weight=1.0),
        optimiser=part("Adam", lr=0.01),
        schedule="constant",
        epochs=epochs,
        batch_size=20,
    )


def told(gan):
    values = {"VAE-GAN": gan, "principal components": 1.0}
    rows = [{"projection": name, "quantity": "distance", "value": value} for name, value in values.items()]
    return [*rows, {"projection": "VAE-GAN", "quantity": "empty image", "value": 0.0}]


@pytest.mark.parametrize(("errors", "chosen"), [([2.0, 1.0, 0.5], 2), ([2.0, 3.0, 4.0], 3), ([0.5], 1)])
def test_the_first_that_is_enough_is_taken_else_the_last(monkeypatch, errors, chosen):
    from companion.experiment import generative

    given = iter(errors)
    monkeypatch.setattr(generative, "train", lambda of, seeds, **how: {("VAE-GAN", 0): of(0)["VAE-GAN"]})
    monkeypatch.setattr(generative, "measure", lambda *a, **how: pd.DataFrame(told(next(given))))
    taken, tried = experiment.good_enough([recipe(1), recipe(2), recipe(3)], dimensions=2)
    assert taken == recipe(chosen) and list(tried["epochs"].unique()) == list(range(1, chosen + 1))


def test_its_error_is_that_on_held_out_training_images(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path))
    taken, tried = experiment.good_enough([recipe(1)], dimensions=2, announce=lambda text: None)
    from companion import data, store

    held = data.load("digits", n_train=80, hold_out=0.25)
    rows = pd.DataFrame(metrics.projection_errors(store.get(taken), held, dimensions=2))
    row, found = (experiment.where(of, projection="VAE-GAN", quantity="distance") for of in (rows, tried))
    assert found["value"].item() == pytest.approx(row["value"].item()) and len(found["each"].item()) == 20


def test_nothing_to_train_is_an_error():
    with pytest.raises(ValueError, match="recipes is empty"):
        experiment.good_enough([], dimensions=2)


def test_modes_are_put_on_the_axis_of_each_projection_s_clean_distances():
    near = torch.normal(3.0, 0.1, (400,), generator=torch.Generator().manual_seed(0)).tolist()
    rows = pd.DataFrame([{"projection": p, "each": near, "value": 0.0, "model": "m"} for p in "ab"])
    found = experiment.relative_modes(rows, {"a": [1.0, 5.0], "b": [2.0, 4.0, 6.0]})
    assert found["value"].tolist() == pytest.approx([0.5, 0.25], abs=0.05)
    assert set(found["quantity"]) == {"mode"} and list(found["projection"]) == ["a", "b"]


def test_only_data_sets_of_the_paper_have_its_settings():
    of = experiment.paper_of_manifolds("mnist")
    assert (of["l2"], of["epochs"], of["latent"], of["weight"]) == ([0.5, 1, 2], 5, 10, 0.005)
    assert experiment.paper_of_manifolds("cifar10")["design"] == "miyato"
    with pytest.raises(ValueError, match="dataset=digits; the paper has mnist, fashion_mnist, cifar10"):
        experiment.paper_of_manifolds("digits")
