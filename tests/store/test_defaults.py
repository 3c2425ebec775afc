"""Images, nets and measurements are the same whatever defaults of torch a user has set."""

import pytest
import torch

from companion import data, metrics, store
from companion.training.recipe import Recipe, part

RECIPE = Recipe(part("digits", n_train=60, n_test=30), part("mlp", hidden=(8, 8)), epochs=1)


@pytest.fixture(params=["meta", torch.float64])
def users_defaults(request):
    dtype = torch.get_default_dtype()
    set_to = torch.set_default_dtype if request.param == torch.float64 else torch.set_default_device
    set_to(request.param)
    yield request.param
    torch.set_default_device(None)
    torch.set_default_dtype(dtype)


def test_the_users_defaults_change_nothing_and_stay(users_defaults, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "theirs"))
    loaded = data.load("digits", n_train=60)
    blocks = store.images(part("block_mnist", of="digits", n_train=20), "cpu")
    theirs = store.get(RECIPE).state_dict()
    accuracy = store.measure(metrics.clean_accuracy, RECIPE)
    assert str(torch.get_default_device()) == ("meta" if users_defaults == "meta" else "cpu")
    assert torch.get_default_dtype() == (torch.float32 if users_defaults == "meta" else torch.float64)

    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "ours"))
    assert torch.equal(loaded.x_train, data.load("digits", n_train=60).x_train)
    assert blocks.x_train.dtype == torch.float32 and blocks.x_train.device.type == "cpu"
    assert accuracy == store.measure(metrics.clean_accuracy, RECIPE)
    ours = store.get(RECIPE).state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
