import gc
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from companion import data, store
from companion.code import PACKAGE, reached
from companion.data import listing
from companion.data.sources import data_root
from companion.training.recipe import Recipe, Target, part

from .conftest import IDX_NAMES, change_unseen


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


def test_asking_for_data_does_not_import_torch():
    """A runner checks the data set before anything slow happens."""
    code = (
        "import sys, companion.data as data\n"
        "for name in ('digits', 'mnist_small', 'gaussians'):\n"
        "    data.require(name); data.identity(name); data.checksums(name); data.fetch(name)\n"
        "assert not {'torch', 'torchvision', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_import_is_hidden_and_images_do_not_depend_on_the_code_that_draws_points():
    for file in (PACKAGE / "data").glob("*.py"):
        assert not re.search(r"import_module|__import__|import importlib", file.read_text("utf-8")), file
    everything = {f"companion.data.{f.stem}" for f in (PACKAGE / "data").glob("*.py")} - {
        "companion.data.__init__"
    }
    assert everything <= reached("companion.data")
    drawing = {f"companion.data.{name}" for name in ("toys", "block_mnist", "augmentation")}
    helpers = {f"companion.{name}" for name in ("code", "defaults", "files")}
    assert everything - drawing == reached("companion.data.images") - helpers
    assert reached("companion.data.toys") == {"companion.data.toys", "companion.data.image_set"}
    finding = {f"companion.{name}" for name in ("data.sources", "data.listing", "data.origins", "files")}
    assert reached("companion.data.sources") == finding  # and so no circle


def test_unknown_attribute_of_the_package():
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        data.lode  # noqa: B018


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("mnits", "mnist"),
        ("CIFAR", "cifar10"),
        ("fashion-mnist", "fashion_mnist"),
        ("folder", "folder:PATH"),
        ("folder:", "folder:PATH"),
    ],
)
def test_unknown_name_gets_the_nearest(name, nearest):
    for question in (data.require, data.identity, data.checksums, data.fetch, data.load):
        with pytest.raises(ValueError, match=f"'{name}'; did you mean {nearest}\\?") as error:
            question(name)
        assert not isinstance(error.value, data.DataMissing)


def test_unknown_name_far_from_any():
    with pytest.raises(ValueError, match="unknown data set 'xyz'; known: mnist_small, digits, mnist"):
        data.require("xyz")


def test_root_is_the_argument_then_the_environment_then_the_cache(home, tmp_path, monkeypatch):
    assert data_root() == home / ".cache" / "companion" / "data"
    monkeypatch.setenv("COMPANION_DATA", str(tmp_path / "env"))
    assert data_root() == tmp_path / "env"
    assert data_root(tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.setenv("COMPANION_DATA", "~/mine")
    assert data_root() == home / "mine"


@pytest.mark.parametrize(
    ("name", "place"),
    [("mnist", "MNIST/raw"), ("fashion_mnist", "FashionMNIST/raw"), ("cifar10", "cifar-10-batches-py")],
)
def test_missing_set_names_the_place_and_both_ways(name, place, home):
    for question in (data.require, data.identity, data.checksums, data.load):
        with pytest.raises(data.DataMissing) as error:
            question(name)
        message = one_line(error)
        assert str(home / ".cache/companion/data" / place) in message
        assert f"companion fetch {name}" in message
        assert f"COMPANION_DATA to a folder that holds {place}" in message


def test_missing_and_cut_files_are_named(mnist_root):
    data.require("mnist", mnist_root)
    raw = mnist_root / "MNIST" / "raw"
    labels = raw / IDX_NAMES[3]
    content = labels.read_bytes()
    labels.unlink()
    with pytest.raises(data.DataMissing, match=f"raw lacks {labels.name};"):
        data.require("mnist", mnist_root)
    for cut in (content[:-1], content[:6], b""):
        labels.write_bytes(cut)
        with pytest.raises(data.DataMissing, match=f"{labels.name} is cut short"):
            data.require("mnist", mnist_root)


def test_require_accepts_what_is_there(mnist_root, cifar_root, tmp_path, write_images, monkeypatch):
    data.require("digits")
    data.require("mnist_small")
    monkeypatch.setenv("COMPANION_DATA", str(mnist_root))
    for name in ("mnist", "fashion_mnist", "cifar10"):
        data.require(name)
    data.require(f"folder:{write_images(tmp_path / 'pictures')}")


def test_folder_layouts_that_cannot_be_used(tmp_path, write_images):
    missing = tmp_path / "missing"
    with pytest.raises(data.DataMissing, match="no such folder; expected PATH/train/CLASS") as error:
        data.require(f"folder:{missing}")
    assert str(missing) in one_line(error)

    empty = tmp_path / "empty"
    (empty / "cat").mkdir(parents=True)
    (empty / "cat" / "notes.txt").write_text("no image")
    with pytest.raises(data.DataMissing, match="no images in class folders; expected PATH"):
        data.require(f"folder:{empty}")

    write_images(tmp_path / "half" / "train")
    with pytest.raises(data.DataMissing, match="train/ but no test/"):
        data.require(f"folder:{tmp_path / 'half'}")
    write_images(tmp_path / "half" / "test", classes=("cat", "fox"))
    with pytest.raises(ValueError, match="class 'dog' has images in only one of train/ and test/"):
        data.require(f"folder:{tmp_path / 'half'}")

    write_images(tmp_path / "one", classes=("cat",))
    with pytest.raises(ValueError, match="only class 'cat'"):
        data.require(f"folder:{tmp_path / 'one'}")


def test_identity_of_digits_is_constant():
    assert data.identity("digits") == data.identity("digits")
    assert data.identity("digits").startswith("digits scikit-learn 1.")


def test_identity_of_files_follows_their_contents(mnist_root, tmp_path):
    before = data.identity("mnist", mnist_root)
    moved = mnist_root.rename(tmp_path / "elsewhere")
    file = moved / "MNIST" / "raw" / IDX_NAMES[0]
    os.utime(file, (0, 0))
    assert data.identity("mnist", moved) == before  # neither the place nor the time of a copy matters
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert data.identity("mnist", moved) != before


def test_identity_of_small_mnist_is_its_content():
    assert data.identity("mnist_small") == data.identity("mnist_small")
    assert re.fullmatch("mnist_small [0-9a-f]{16}", data.identity("mnist_small"))
    assert list(data.checksums("mnist_small")) == ["mnist_small.npz"]


@pytest.fixture(params=["read", "remembered"])
def pictures(request, tmp_path, write_images, monkeypatch):
    """A folder of images whose listing was just made and is not trusted yet, or is remembered at once."""
    if request.param == "remembered":
        monkeypatch.setattr(listing, "_SETTLED_NS", -(10**12))
    return write_images(tmp_path / "pictures")


def test_identity_of_a_folder_follows_names_and_contents(pictures, write_images):
    name = f"folder:{pictures}"
    seen = [data.identity(name)]
    write_images(pictures, n=6)
    seen.append(data.identity(name))
    first = pictures / "cat" / "000.png"
    time.sleep(0.02)  # a tick of the clock: the fixture lets the listing be remembered at once
    change_unseen(first)
    seen.append(data.identity(name))
    first.rename(first.with_name("renamed.png"))
    seen.append(data.identity(name))
    (pictures / "cat" / "renamed.png").rename(pictures / "dog" / "renamed.png")
    seen.append(data.identity(name))
    assert len(set(seen)) == 5
    assert data.identity(name) == seen[-1]


def test_a_folder_copied_elsewhere_is_the_same_and_retrains_nothing(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "elsewhere" / "images", copy_function=shutil.copyfile)
    os.utime(copy / "cat" / "000.png", (0, 0))
    places = [f"folder:{folder}" for folder in (pictures, copy)]
    assert data.identity(places[0]) == data.identity(places[1])
    assert data.checksums(places[0]) == data.checksums(places[1])
    source, target = part("mlp", size=6), part("input_gradient")
    plain, blocks = [
        [Recipe(part(*name, **settings), source) for name, settings in found]
        for found in (
            [((place,), {}) for place in places],
            [(("block_mnist",), {"of": place}) for place in places],
        )
    ]
    taught = [replace(r, target=Target(r, target)) for r in plain]
    for here, there in (plain, blocks, taught):
        assert here != there and store.key(here) == store.key(there)


def test_a_remembered_listing_spares_the_reading_and_checksums_never_do(pictures, monkeypatch, request):
    name = f"folder:{pictures}"
    before = data.identity(name)
    reads = []
    read = listing.sha256
    monkeypatch.setattr(listing, "sha256", lambda file: reads.append(file) or read(file))
    assert data.identity(name) == before
    again = 0 if "[remembered]" in request.node.name else 10
    assert len(reads) == again
    data.checksums(name)
    assert len(reads) == again + 10


def test_a_damaged_listing_is_read_again(pictures, home):
    before = data.identity(f"folder:{pictures}")
    for kept in (home / ".cache/companion").glob("listings/*"):
        for damage in (b"", b"cut", b"\xff" * 64):
            kept.write_bytes(damage)
            assert data.identity(f"folder:{pictures}") == before


def test_checksums(mnist_root, tmp_path, write_images):
    assert set(data.checksums("mnist", mnist_root)) == set(IDX_NAMES)
    (digest,) = data.checksums("digits").values()
    assert len(digest) == 64
    folder = write_images(tmp_path / "pictures")
    before = data.checksums(f"folder:{folder}")
    assert list(before) == ["10 images"]
    os.utime(folder / "cat" / "000.png", (0, 0))
    assert data.checksums(f"folder:{folder}") == before
    (folder / "cat" / "000.png").write_bytes(b"other")
    assert data.checksums(f"folder:{folder}") != before


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_fetch_mnist(name, mnist_mirror, tmp_path, capsys):
    place = data.fetch(name, tmp_path / "root")
    assert f"{name} is in {place}" in capsys.readouterr().out
    data.require(name, tmp_path / "root")
    assert data.load(name, root=tmp_path / "root").x_train.shape == (40, 1, 28, 28)


def test_fetch_cifar(cifar_mirror, home, capsys):
    place = data.fetch("cifar10")
    assert place == home / ".cache/companion/data/cifar-10-batches-py"
    assert f"cifar10 is in {place}" in capsys.readouterr().out
    assert data.load("cifar10").x_train.shape == (100, 3, 32, 32)


def test_fetch_repairs_a_file_that_was_cut(mnist_mirror, tmp_path):
    place = data.fetch("mnist", tmp_path / "root")
    whole = (place / IDX_NAMES[0]).read_bytes()
    (place / IDX_NAMES[0]).write_bytes(whole[:1000])
    (place / f"{IDX_NAMES[2]}.gz").write_bytes(b"half a download")
    data.fetch("mnist", tmp_path / "root")
    assert (place / IDX_NAMES[0]).read_bytes() == whole


def test_fetch_refuses_a_wrong_checksum(mnist_mirror, tmp_path):
    for file in mnist_mirror.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(OSError, match="mnist could not be downloaded to .*corrupted") as error:
        data.fetch("mnist", tmp_path / "root")
    one_line(error)


# urllib leaves the answer of a failed request to the garbage collector
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_fetch_without_the_files_on_the_server(mnist_mirror, tmp_path):
    for file in mnist_mirror.iterdir():
        file.unlink()
    with pytest.raises(OSError, match="could not be downloaded") as error:
        data.fetch("mnist", tmp_path / "root")
    one_line(error)
    del error
    gc.collect()


def test_nothing_to_fetch(tmp_path, capsys):
    for name, origin in (("digits", "scikit-learn"), ("mnist_small", "this package")):
        assert data.fetch(name) is None
        assert f"{name} ships with {origin}" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a folder cannot be fetched"):
        data.fetch(f"folder:{tmp_path}")
