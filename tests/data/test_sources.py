import gc
import os
import subprocess
import sys

import pytest

from companion import data
from companion.data.sources import data_root

from .conftest import IDX_NAMES


def one_line(error):
    message = str(error.value)
    assert "\n" not in message
    return message


def test_asking_for_data_does_not_import_torch():
    """A runner checks the data set before anything slow happens."""
    code = (
        "import sys, companion.data as data\n"
        "data.require('digits'); data.identity('digits'); data.checksums('digits')\n"
        "assert not {'torch', 'torchvision', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


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
    with pytest.raises(ValueError, match="unknown data set 'xyz'; known: digits, mnist"):
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


def test_identity_of_a_folder_follows_its_listing(tmp_path, write_images):
    folder = write_images(tmp_path / "pictures")
    name = f"folder:{folder}"
    seen = {data.identity(name)}
    write_images(folder, n=6)
    seen.add(data.identity(name))
    os.utime(folder / "cat" / "000.png", (0, 0))
    seen.add(data.identity(name))
    (folder / "cat" / "000.png").unlink()
    seen.add(data.identity(name))
    assert len(seen) == 4
    assert data.identity(name) in seen


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
    assert data.fetch("digits") is None
    assert "ships with scikit-learn" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a folder cannot be fetched"):
        data.fetch(f"folder:{tmp_path}")
