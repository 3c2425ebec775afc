import hashlib
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from companion import data
from companion.data import folders, packaged, sources
from companion.data.origins import MNIST_SMALL, MNIST_SMALL_SHA256

from .conftest import IDX_NAMES, change_unseen, mnist_arrays


def check(images):
    """What every set promises."""
    for x, y in ((images.x_train, images.y_train), (images.x_test, images.y_test)):
        assert x.dtype == torch.float32 and x.ndim == 4 and x.is_contiguous()
        assert x.min() >= 0 and x.max() <= 1
        assert y.dtype == torch.int64 and y.shape == (len(x),)
        assert y.min() >= 0 and y.max() < images.n_classes
    assert images.x_train.shape[1] == images.channels
    assert images.x_train.shape[2] == images.size


# --- small MNIST -----------------------------------------------------------------------------------------


def test_small_mnist_is_the_default():
    small = data.load()
    check(small)
    assert (small.name, small.label, small.channels, small.size) == ("mnist_small", "small MNIST", 1, 28)
    assert small.classes == tuple("0123456789")
    assert small.y_train.bincount().tolist() == [600] * 10 and small.y_test.bincount().tolist() == [100] * 10
    assert small.x_train.min() == 0 and small.x_train.max() == 1
    assert small.x_train.mean().item() == pytest.approx(0.1307, abs=2e-3)  # all of MNIST: 0.1307


def test_small_mnist_takes_all_of_load_s_options():
    small = data.load("mnist_small", n_train=300, n_test=50, size=14, hold_out=0.5, split_seed=3)
    check(small)
    assert small.x_train.shape == (150, 1, 14, 14) and len(small.y_test) == 50
    # no image occurs twice, so rows identify images
    rows = {x.numpy().tobytes() for x in data.load("mnist_small", size=14).x_train}
    assert {x.numpy().tobytes() for x in torch.cat([small.x_train, small.x_test])} <= rows
    other = data.load("mnist_small", n_train=300, n_test=50, size=14, hold_out=0.5, split_seed=4)
    assert not torch.equal(small.x_test, other.x_test)


def damaged(content, how):
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    return {"cut": content[:-40], "flipped": flipped, "empty": b"", "text": b"hello"}[how]


def other_arrays(path, **changed):
    with np.load(MNIST_SMALL) as stored:
        np.savez(path, **{name: changed.get(name, stored[name]) for name in MNIST_SMALL_SHA256})


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "pixel", "pickle", "gone"])
def test_damaged_small_mnist_is_named(damage, tmp_path, monkeypatch):
    file = tmp_path / "mnist_small.npz"
    if damage == "pixel":
        with np.load(MNIST_SMALL) as stored:
            x_test = stored["x_test"]
        x_test[0, 0, 0] += 1
        other_arrays(file, x_test=x_test)
    elif damage == "pickle":
        other_arrays(file, y_test=np.array([print], dtype=object))
    elif damage != "gone":
        file.write_bytes(damaged(MNIST_SMALL.read_bytes(), damage))
    for module in (packaged, sources):
        monkeypatch.setattr(module, "MNIST_SMALL", file)
    with pytest.raises(ValueError, match=r"mnist_small.npz.*install the package again") as error:
        data.load("mnist_small")
    assert "\n" not in str(error.value)


# --- digits ----------------------------------------------------------------------------------------------


def test_digits():
    digits = data.load("digits")
    check(digits)
    assert (digits.name, digits.label, digits.channels, digits.size, digits.n_classes) == (
        "digits",
        "digits",
        1,
        8,
        10,
    )
    assert len(digits.y_train) == 1437 and len(digits.y_test) == 360
    assert digits.x_train.max() == 1
    # stratified: the real set has 174 to 183 images of each digit
    assert set(digits.y_test.bincount().tolist()) <= {34, 35, 36, 37}
    assert repr(digits) == "Images(digits: 1437 train, 360 test, 1x8x8, 10 classes, cpu)"


def labelled(x, y):
    return {(tuple(pixels), label) for pixels, label in zip(x, y, strict=True)}


def test_digits_are_sklearns_with_their_labels():
    from sklearn.datasets import load_digits

    raw = load_digits()
    digits = data.load("digits")
    x = torch.cat([digits.x_train, digits.x_test]).flatten(1).mul(16).tolist()
    y = torch.cat([digits.y_train, digits.y_test]).tolist()
    assert labelled(x, y) == labelled(raw.data.tolist(), raw.target.tolist())


def test_split_depends_on_the_seed_only():
    first, again, other = (data.load("digits", split_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.x_test, again.x_test)
    assert not torch.equal(first.x_test, other.x_test)


# --- subsets ---------------------------------------------------------------------------------------------


def test_subsets_are_nested_stratified_and_deterministic():
    digits = data.load("digits")
    small, large = digits.subset(50, 20), digits.subset(500, 40)
    assert torch.equal(large.x_train[:50], small.x_train)
    assert torch.equal(large.y_test[:20], small.y_test)
    assert torch.equal(small.x_train, digits.subset(50).x_train)
    assert not torch.equal(small.x_train, digits.subset(50, seed=1).x_train)
    assert all(4 <= count <= 6 for count in small.y_train.bincount().tolist())
    assert len(digits.subset(50).y_test) == 360


def test_subset_when_loading_is_the_same():
    direct, later = data.load("digits", n_train=30, n_test=10), data.load("digits").subset(30, 10)
    for field in ("x_train", "y_train", "x_test", "y_test"):
        assert torch.equal(getattr(direct, field), getattr(later, field))


def test_subset_of_everything_is_a_permutation():
    digits = data.load("digits")
    whole = digits.subset(1437, 360)
    assert whole.y_train.sort().values.equal(digits.y_train.sort().values)
    assert whole.x_test.sum((1, 2, 3)).sort().values.equal(digits.x_test.sum((1, 2, 3)).sort().values)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_train": 1438}, "n_train=1438: digits has 1437"),
        ({"n_test": 361}, "n_test=361: digits has 360"),
        ({"n_train": 0}, "n_train=0"),
        ({"n_test": -1}, "n_test=-1"),
    ],
)
def test_wrong_numbers_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        data.load("digits", **settings)
    with pytest.raises(ValueError, match=message):
        data.load("digits").subset(**settings)


def test_held_out_images_come_from_the_training_images():
    whole, held = data.load("digits"), data.load("digits", hold_out=0.2)
    check(held)
    assert len(held.y_train) == 1150 and len(held.y_test) == 287
    assert all(27 <= count <= 30 for count in held.y_test.bincount().tolist())
    rows = {tuple(row) for row in whole.x_train.flatten(1).tolist()}
    parts = [{tuple(row) for row in x.flatten(1).tolist()} for x in (held.x_train, held.x_test)]
    assert parts[0] | parts[1] == rows
    assert torch.equal(held.x_test, data.load("digits", hold_out=0.2).x_test)


def test_held_out_images_of_a_subset_are_those_of_the_subset():
    subset = data.load("digits", n_train=100)
    held = data.load("digits", n_train=100, hold_out=0.25, n_test=20)
    assert (len(held.y_train), len(held.y_test)) == (75, 20)
    rows = {tuple(row) for row in subset.x_train.flatten(1).tolist()}
    assert {tuple(row) for row in torch.cat([held.x_train, held.x_test]).flatten(1).tolist()} <= rows


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 0.0001])
def test_wrong_fraction_is_named(fraction):
    with pytest.raises(ValueError, match=f"hold_out={fraction}"):
        data.load("digits", hold_out=fraction)


# --- torchvision's formats -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "label"), [("mnist", "MNIST"), ("fashion_mnist", "Fashion-MNIST")])
def test_mnist_files(name, label, mnist_root, monkeypatch):
    monkeypatch.setenv("COMPANION_DATA", str(mnist_root))
    loaded = data.load(name)
    check(loaded)
    assert loaded.label == label
    x_train, y_train, x_test, y_test = mnist_arrays()
    assert np.array_equal(loaded.x_train[:, 0].mul(255).round().numpy(), x_train)
    assert np.array_equal(loaded.x_test[:, 0].mul(255).round().numpy(), x_test)
    assert loaded.y_train.tolist() == y_train.tolist() and loaded.y_test.tolist() == y_test.tolist()
    assert len(loaded.classes) == 10


def test_class_names(mnist_root):
    assert data.load("mnist", root=mnist_root).classes == tuple("0123456789")
    assert "Sneaker" in data.load("fashion_mnist", root=mnist_root).classes


def test_cifar_files(cifar_root, cifar_known):
    loaded = data.load("cifar10", root=cifar_root)
    check(loaded)
    assert (loaded.label, loaded.channels, loaded.size) == ("CIFAR-10", 3, 32)
    assert loaded.x_train.shape == (100, 3, 32, 32)
    assert loaded.classes[:2] == ("airplane", "automobile")
    first = pickle.loads(cifar_known["data_batch_1"])["data"][0].reshape(3, 32, 32)
    assert np.array_equal(loaded.x_train[0].mul(255).round().numpy(), first)


def test_damaged_files_are_named(cifar_root, mnist_root):
    batch = cifar_root / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cifar10 in .*cannot be read.*companion fetch cifar10"):
        data.load("cifar10", root=cifar_root)
    labels = mnist_root / "MNIST" / "raw" / IDX_NAMES[1]
    labels.write_bytes(bytes([0, 0, 9]) + labels.read_bytes()[3:])  # signed bytes: not what MNIST holds
    with pytest.raises(ValueError, match="mnist in .*cannot be read"):
        data.load("mnist", root=mnist_root)


def test_resizing():
    large = data.load("digits", n_train=20, n_test=10, size=28)
    check(large)
    assert large.size == 28
    plain = data.load("digits", n_train=20, n_test=10)
    torch.testing.assert_close(
        large.x_train.mean((1, 2, 3)), plain.x_train.mean((1, 2, 3)), atol=0.02, rtol=0
    )
    with pytest.raises(ValueError, match="size=0"):
        data.load("digits", size=0)


# --- image folders ---------------------------------------------------------------------------------------


def test_folder_with_train_and_test(tmp_path, write_images):
    folder = tmp_path / "CIFAR-10 (JPEG 75)"
    write_images(folder / "train", 6)
    write_images(folder / "test", 3)
    loaded = data.load(f"folder:{folder}")
    check(loaded)
    assert loaded.label == "CIFAR-10 (JPEG 75)"
    assert loaded.name == f"folder:{folder}"
    assert loaded.classes == ("cat", "dog")
    assert loaded.x_train.shape == (12, 3, 6, 6) and loaded.x_test.shape == (6, 3, 6, 6)
    for x, y in ((loaded.x_train, loaded.y_train), (loaded.x_test, loaded.y_test)):
        assert torch.equal(x[:, 0].mean((1, 2)).mul(255).round().long(), 60 + 100 * y)
    assert sorted(loaded.y_test[:2].tolist()) == [0, 1]  # not sorted by class: x_test[:n] is a fair sample


def test_folder_of_classes_is_split_once_and_for_all(tmp_path, write_images):
    folder = write_images(tmp_path / "pictures", 10)
    first, again, other = (data.load(f"folder:{folder}", split_seed=seed) for seed in (0, 0, 1))
    check(first)
    assert first.y_train.bincount().tolist() == [8, 8] and first.y_test.bincount().tolist() == [2, 2]
    assert torch.equal(first.x_test, again.x_test)
    assert not torch.equal(first.x_test, other.x_test)
    # the blue level differs between the images of a class: none is in both parts
    blue = torch.cat([first.x_train, first.x_test])[:, 2, 0, 0].mul(255).round()
    labels = torch.cat([first.y_train, first.y_test])
    assert len({*zip(blue.tolist(), labels.tolist(), strict=True)}) == 20


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".JPEG", ".webp", ".tif"])
def test_formats(suffix, tmp_path, write_images):
    folder = write_images(tmp_path / "pictures", suffix=suffix)
    loaded = data.load(f"folder:{folder}")
    check(loaded)
    assert loaded.x_train.shape == (8, 3, 6, 6)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)])
def test_channels(mode, channels, tmp_path, write_images):
    folder = write_images(tmp_path / "pictures", mode=mode)
    assert data.load(f"folder:{folder}").channels == channels


def test_grey_among_coloured_images(tmp_path, write_images):
    folder = write_images(tmp_path / "pictures", 4)
    write_images(folder, 2, mode="L")
    loaded = data.load(f"folder:{folder}")
    assert loaded.x_train.shape[1:] == (3, 6, 6)


def test_images_of_several_sizes(tmp_path, write_images):
    folder = write_images(tmp_path / "pictures", 4)
    write_images(folder, 1, size=(8, 6))
    with pytest.raises(
        ValueError, match=r"000.png is 6x8 and .*001.png is 6x6; make copies of one size, .* size=6"
    ):
        data.load(f"folder:{folder}")
    loaded = data.load(f"folder:{folder}", size=5)
    assert loaded.x_train.shape == (6, 3, 5, 5)
    check(loaded)


def test_images_need_not_be_square(tmp_path, write_images):
    folder = write_images(tmp_path / "pictures", size=(8, 6))
    assert data.load(f"folder:{folder}").x_train.shape == (8, 3, 6, 8)


def test_unreadable_images_are_named(tmp_path, write_images):
    folder = write_images(tmp_path / "pictures")
    (folder / "cat" / "003.png").write_bytes(b"no image at all")
    with pytest.raises(ValueError, match="003.png is not a readable image"):
        data.load(f"folder:{folder}")
    Image.fromarray(np.zeros((6, 6), np.uint16)).save(folder / "cat" / "003.png")
    with pytest.raises(ValueError, match="003.png has more than 8 bits"):
        data.load(f"folder:{folder}")


# --- the cache of decoded folders ------------------------------------------------------------------------


@pytest.fixture
def decodes(monkeypatch):
    """Counts how often images are decoded."""
    calls = []
    decode = folders._decode
    monkeypatch.setattr(folders, "_decode", lambda *args: calls.append(1) or decode(*args))
    return calls


def cache_files(home):
    return sorted((home / ".cache/companion/folders").iterdir())


def test_folder_is_decoded_once(tmp_path, write_images, home, decodes):
    folder = write_images(tmp_path / "pictures")
    first = data.load(f"folder:{folder}")
    second = data.load(f"folder:{folder}", split_seed=0)
    assert len(decodes) == 1
    assert torch.equal(first.x_train, second.x_train)
    data.load(f"folder:{folder}", size=4)  # another size is another cache
    assert len(decodes) == 2 and len(cache_files(home)) == 2


def test_changed_folder_is_decoded_again_and_the_old_cache_goes(tmp_path, write_images, home, decodes):
    folder = write_images(tmp_path / "pictures")
    data.load(f"folder:{folder}")
    (old,) = cache_files(home)
    write_images(folder, 6)
    assert len(data.load(f"folder:{folder}").y_train) == 10
    (new,) = cache_files(home)
    assert len(decodes) == 2 and new != old


def test_an_image_changed_under_the_same_size_and_time_is_decoded_again(tmp_path, write_images, decodes):
    folder = write_images(tmp_path / "pictures", suffix=".bmp")
    before = data.load(f"folder:{folder}")
    change_unseen(folder / "cat" / "000.bmp")
    after = data.load(f"folder:{folder}")
    same = [torch.equal(getattr(before, x), getattr(after, x)) for x in ("x_train", "x_test")]
    assert len(decodes) == 2 and not all(same)


def test_a_copied_folder_is_not_decoded_again(tmp_path, write_images, home, decodes):
    folder = write_images(tmp_path / "pictures")
    first = data.load(f"folder:{folder}")
    second = data.load(f"folder:{shutil.copytree(folder, tmp_path / 'copy')}")
    assert len(decodes) == 1 and torch.equal(first.x_train, second.x_train)
    assert (first.label, second.label) == ("pictures", "copy")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_cache_is_built_again(damage, tmp_path, write_images, home, decodes):
    folder = write_images(tmp_path / "pictures")
    first = data.load(f"folder:{folder}")
    (file,) = cache_files(home)
    file.write_bytes(damaged(file.read_bytes(), damage))
    assert torch.equal(data.load(f"folder:{folder}").x_train, first.x_train)
    assert len(decodes) == 2
    data.load(f"folder:{folder}")
    assert len(decodes) == 2


def test_cache_that_cannot_be_written_is_only_a_warning(tmp_path, write_images, home):
    folder = write_images(tmp_path / "pictures")
    home.mkdir()
    (home / ".cache").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="are not kept"):
        assert len(data.load(f"folder:{folder}").y_train) == 8


# --- devices ---------------------------------------------------------------------------------------------


def test_to_moves_every_tensor():
    moved = data.load("digits", n_train=20, n_test=10).to("meta")
    assert {t.device.type for t in (moved.x_train, moved.y_train, moved.x_test, moved.y_test)} == {"meta"}
    assert moved.label == "digits"


def test_missing_gpu_is_named():
    with pytest.raises(ValueError, match="device='cuda:99'.*use 'cpu'"):
        data.load("digits", device="cuda:99")


# --- augmentation ----------------------------------------------------------------------------------------


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_augmented_images_are_crops_of_the_padded_image_or_of_its_mirror():
    n, pad = 200, 2
    x = torch.rand(n, 2, 5, 6) + 0.1
    augmented = data.augment(x, generator=seeded(), pad=pad)
    assert augmented.shape == x.shape
    padded = torch.nn.functional.pad(x, (pad,) * 4)
    seen = set()
    for i in range(n):
        fits = {
            (top, left, mirrored)
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
            for mirrored in (False, True)
            if torch.equal(
                augmented[i].flip(-1) if mirrored else augmented[i],
                padded[i, :, top : top + 5, left : left + 6],
            )
        }
        assert len(fits) == 1
        seen |= fits
    assert len(seen) == 2 * (2 * pad + 1) ** 2  # every crop and both mirrorings occur


def test_maps_move_with_their_images():
    x = torch.rand(50, 3, 8, 8)
    maps = x.sum(1, keepdim=True)
    moved_x, moved_maps, moved_again = data.augment(x, maps, x, generator=seeded())
    torch.testing.assert_close(moved_maps, moved_x.sum(1, keepdim=True))
    assert torch.equal(moved_again, moved_x)


def test_augmentation_is_repeatable_and_leaves_its_input_alone():
    x = torch.rand(20, 1, 8, 8)
    before = x.clone()
    generator = seeded()
    first, second = data.augment(x, generator=generator), data.augment(x, generator=generator)
    assert torch.equal(first, data.augment(x, generator=seeded()))
    assert not torch.equal(first, second)
    assert torch.equal(x, before)


def test_no_padding_only_mirrors():
    x = torch.rand(30, 1, 4, 4)
    augmented = data.augment(x, generator=seeded(), pad=0)
    same = (augmented == x).flatten(1).all(1)
    mirrored = (augmented == x.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all() and same.any() and mirrored.any()


def test_wrong_augmentation_is_named():
    x = torch.rand(4, 1, 8, 8)
    with pytest.raises(ValueError, match="pad=-1"):
        data.augment(x, generator=seeded(), pad=-1)
    for other in (x[:3], x[..., :7], x[:, 0]):
        with pytest.raises(ValueError, match=r"expected \(4, C, 8, 8\)"):
            data.augment(x, other, generator=seeded())


# --- the real files --------------------------------------------------------------------------------------


def test_real_mnist(real_data):
    if not (real_data / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST/raw in {real_data}")
    raw = real_data / "MNIST" / "raw" / IDX_NAMES[0]
    if hashlib.md5(raw.read_bytes()).hexdigest() != "6bbc9ace898e44ae57da46a324031adb":
        pytest.fail(f"{raw} is not the original file")
    mnist = data.load("mnist", root=real_data)
    check(mnist)
    assert (len(mnist.y_train), len(mnist.y_test)) == (60_000, 10_000)
    assert mnist.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.x_train.mean().item() == pytest.approx(0.1307, abs=1e-4)


def test_small_mnist_is_cut_from_the_real_files(real_data):
    if not (real_data / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST/raw in {real_data}")
    small, whole = data.load("mnist_small"), data.load("mnist", root=real_data)
    for part, most in (("train", 600), ("test", 100)):
        x, y = (getattr(whole, f"{name}_{part}") for name in "xy")
        of_class = [(y == k).nonzero().flatten() for k in range(10)]
        evenly = [which[torch.arange(most) * len(which) // most] for which in of_class]
        chosen = torch.cat(evenly).sort().values
        assert torch.equal(getattr(small, f"x_{part}"), x[chosen])
        assert torch.equal(getattr(small, f"y_{part}"), y[chosen])


def test_real_cifar(real_data):
    try:
        data.require("cifar10", real_data)
    except data.DataMissing as missing:
        pytest.skip(str(missing))
    cifar = data.load("cifar10", root=real_data)
    check(cifar)
    assert (len(cifar.y_train), len(cifar.y_test)) == (50_000, 10_000)


def test_hold_out_takes_training_images_and_never_shows_a_test_image():
    whole, held = data.load("digits"), data.load("digits", hold_out=0.2, n_train=1000)
    assert (len(held.x_train), len(held.x_test)) == (800, 200)
    rows = {x.numpy().tobytes() for x in whole.x_train}
    assert all(x.numpy().tobytes() in rows for x in [*held.x_train, *held.x_test])
    tests = {x.numpy().tobytes() for x in whole.x_test}
    shown = [x.numpy().tobytes() in tests and x.numpy().tobytes() not in rows for x in held.x_test]
    assert not any(shown)
    counts = torch.bincount(held.y_test, minlength=10)
    assert counts.min() >= 18 and counts.max() <= 22  # stratified
    again = data.load("digits", hold_out=0.2, n_train=1000, n_test=50)
    assert torch.equal(again.x_train, held.x_train) and len(again.x_test) == 50


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 1e-9])
def test_a_fraction_that_leaves_a_part_empty_is_named(fraction):
    with pytest.raises(ValueError, match="hold_out"):
        data.load("digits", hold_out=fraction)
