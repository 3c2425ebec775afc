"""BlockMNIST: the mask covers exactly the signal, nothing else reveals the label, the recipe's way to it."""

import dataclasses

import pytest
import torch

from companion import data, store
from companion.data.block_mnist import PATCHES, block_mnist, null_block, signal_mask
from companion.store.keys import identity
from companion.training.recipe import Recipe, part


def halves(x):
    """The upper and the lower block of each image."""
    return x.unflatten(2, (2, -1)).unbind(2)


@pytest.mark.parametrize("patch", PATCHES)
def test_the_mask_covers_exactly_the_signal(patch):
    images = block_mnist("digits", classes=(3, 8, 1), patch=patch)
    mask = signal_mask(images.x_train, patch=patch)
    assert mask.shape == images.x_train.shape and mask.dtype == torch.bool
    digits = data.load("digits")
    kept = torch.isin(digits.y_train, torch.tensor([3, 8, 1]))
    assert torch.equal(images.x_train[mask].view(-1, 1, 8, 8), digits.x_train[kept])
    rest = images.x_train[~mask].view(-1, 8, 8)
    assert torch.equal(rest, null_block((8, 8), patch=patch).expand_as(rest))


def test_labels_are_the_digits_and_positions_tell_nothing_of_them():
    images, digits = block_mnist("digits", classes=(7, 0, 4)), data.load("digits")
    kept = torch.isin(digits.y_test, torch.tensor([7, 0, 4]))
    assert images.classes == ("7", "0", "4") and images.n_classes == 3
    assert [(7, 0, 4)[k] for k in images.y_test] == digits.y_test[kept].tolist()
    above = signal_mask(images.x_train)[:, 0, 0, 0].double()
    assert abs(above.mean() - 0.5) < 3 * 0.5 / len(above) ** 0.5
    for k in range(3):
        of_class = above[images.y_train == k]
        assert abs(of_class.mean() - above.mean()) < 3 * 0.5 / len(of_class) ** 0.5


def test_top_has_every_signal_on_top_of_the_same_images():
    top, both = block_mnist("digits", top=True), block_mnist("digits")
    assert signal_mask(top.x_train)[:, :, :8].all() and not signal_mask(top.x_train)[:, :, 8:].any()
    signals = [x[signal_mask(x)] for x in (top.x_train, both.x_train)]
    assert torch.equal(*signals) and torch.equal(top.y_train, both.y_train)
    assert top.label == "BlockMNIST-Top (digits)"


def test_patches_by_hand():
    assert null_block((4, 6), patch="filled", patch_size=3).tolist() == [
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    square, crossed = (null_block((5, 5), patch=p, patch_size=5) for p in ("square", "crossed"))
    assert square.sum() == 16 and square[1:4, 1:4].sum() == 0
    assert crossed[1:4, 1:4].tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert null_block((28, 28)).nonzero().aminmax() == (4, 23)  # 20 pixels, in the middle
    assert torch.equal(null_block((28, 28)), null_block((28, 28)).flip(0).flip(1))


def test_a_smaller_subset_lies_inside_a_larger_one_and_seeds_move_the_blocks():
    few, more = (block_mnist("digits", n_train=n, n_test=20) for n in (40, 80))
    assert torch.equal(few.x_train, more.x_train[:40]) and len(few.x_test) == 20
    held = block_mnist("digits", n_train=80, hold_out=0.25)
    assert (len(held.x_train), len(held.x_test)) == (60, 20)
    rows = {x.numpy().tobytes() for x in (*held.x_train, *held.x_test)}
    assert rows == {x.numpy().tobytes() for x in more.x_train}  # held-out images are training images
    other = block_mnist("digits", split_seed=1)
    assert not torch.equal(other.x_train[:40], few.x_train)


def test_a_recipe_s_net_is_kept_and_hangs_on_every_setting_and_on_the_data_it_is_made_of(monkeypatch):
    recipe = Recipe(part("block_mnist", of="digits", n_train=30), part("mlp", in_channels=2, size=8))
    assert store.images(recipe.data, "cpu").x_train.shape == (30, 1, 16, 8)
    changes = {"top": True, "classes": (0, 2), "patch": "square", "patch_size": 5, "n_train": 31}
    others = [part("block_mnist", **({"of": "digits", "n_train": 30} | {k: v})) for k, v in changes.items()]
    keys = {store.key(dataclasses.replace(recipe, data=d)) for d in (recipe.data, *others)}
    assert len(keys) == 1 + len(changes)
    identity.cache_clear()
    monkeypatch.setattr(data, "identity", lambda name: f"other {name}")
    assert store.key(recipe) not in keys
    identity.cache_clear()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": (1,)}, "at least two"),
        ({"classes": (1, 1)}, "each once"),
        ({"classes": (0, 10)}, "no class 10"),
        ({"patch_size": 9}, "does not fit into a block of 8 x 8"),
        ({"patch_size": 2}, "from 3 to 8"),
        ({"patch": "circle"}, "crossed"),
        ({"of": "gaussians"}, "drawn, not loaded"),
        ({"of": "digit"}, "digits"),
        ({"n_train": 100_000}, "ask for"),
    ],
)
def test_errors(change, words):
    with pytest.raises(ValueError, match=words):
        block_mnist(**({"of": "digits"} | change))


@pytest.mark.parametrize("x", [torch.zeros(2, 16, 8), torch.zeros(2, 1, 15, 8), torch.zeros(2, 1, 16, 8)])
def test_a_mask_of_other_images_is_refused(x):
    with pytest.raises(ValueError, match="block_mnist"):
        signal_mask(x)
