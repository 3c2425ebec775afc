"""Small files in the formats of the real sets: idx, CIFAR batches, image folders."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

N_TRAIN, N_TEST = 40, 20
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx(array):
    """The bytes of an idx file: magic number with type and rank, big-endian sizes, data."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4) for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


def mnist_arrays():
    rng = np.random.default_rng(0)
    for n in (N_TRAIN, N_TEST):
        yield rng.integers(0, 256, (n, 28, 28))
        yield np.arange(n) % 10


REAL_DATA = os.environ.get("COMPANION_DATA")


@pytest.fixture
def real_data():
    """The folder of the real sets, or a skip that says how to run the test."""
    if not REAL_DATA:
        pytest.skip("needs real data: set COMPANION_DATA")
    return Path(REAL_DATA)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """No test may read or write the real cache, nor find real data by accident."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    return tmp_path / "home"


@pytest.fixture
def mnist_root(tmp_path):
    root = tmp_path / "root"
    for folder in ("MNIST", "FashionMNIST"):
        raw = root / folder / "raw"
        raw.mkdir(parents=True)
        for name, array in zip(IDX_NAMES, mnist_arrays(), strict=True):
            (raw / name).write_bytes(idx(array))
    return root


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def mirror(tmp_path):
    """A folder, and the address of a server on this machine that hands out its files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def mnist_mirror(mirror, monkeypatch):
    """The gzipped files on a server, with checksums that torchvision knows; returns the server's folder."""
    folder, address = mirror
    known = []
    for name, array in zip(IDX_NAMES, mnist_arrays(), strict=True):
        content = gzip.compress(idx(array), mtime=0)
        (folder / f"{name}.gz").write_bytes(content)
        known.append((f"{name}.gz", hashlib.md5(content).hexdigest()))
    for kind in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [f"{address}/"])
        monkeypatch.setattr(kind, "resources", known)
    return folder


def cifar_files():
    rng = np.random.default_rng(1)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    for batch in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        pixels = rng.integers(0, 256, (20, 3072), dtype=np.uint8)
        yield batch, pickle.dumps({"data": pixels, "labels": [i % 10 for i in range(20)]})
    yield "batches.meta", pickle.dumps({"label_names": names})


@pytest.fixture
def cifar_known(monkeypatch):
    """torchvision believes that the checksums of the small batches are those of CIFAR-10."""
    files = dict(cifar_files())
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    batches = [[name, digest] for name, digest in sums.items() if name != "batches.meta"]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", batches[:5])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", batches[5:])
    meta = {**datasets.CIFAR10.meta, "md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    return files


@pytest.fixture
def cifar_root(tmp_path, cifar_known):
    folder = tmp_path / "root" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, content in cifar_known.items():
        (folder / name).write_bytes(content)
    return folder.parent


@pytest.fixture
def cifar_mirror(mirror, monkeypatch, cifar_known):
    folder, address = mirror
    archive = folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in cifar_known.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}/{archive.name}")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    return archive


def change_unseen(file):
    """Change a byte near a file's end, in a bitmap that of a pixel, and set its modification time back."""
    stat, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


@pytest.fixture
def write_images():
    """write(folder, n, ...) puts n images into folder/CLASS for two classes, each with its own grey level."""

    def write(folder, n=5, *, suffix=".png", mode="RGB", size=(6, 6), classes=("cat", "dog")):
        for level, label in enumerate(classes):
            (folder / label).mkdir(parents=True, exist_ok=True)
            for i in range(n):
                # PIL sizes are (width, height)
                image = Image.new("RGB", size, (60 + 100 * level, 60 + 100 * level, 60 + i)).convert(mode)
                image.save(folder / label / f"{i:03}{suffix}")
        return folder

    return write
