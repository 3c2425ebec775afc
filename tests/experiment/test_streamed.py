"""A folder of photographs, streamed: what is read, what is kept, and memory that does not grow with it."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from companion import metrics
from companion.experiment import streamed
from companion.training import Diverged

ATTACKS = {"DDN": {"steps": 2}, "gradient": {"steps": 5}}
TUNING = {"weights": None, "epochs": 1, "batch_size": 4, "lr": 1e-5, "momentum": 0.9}


def photographs(root, train=12, val=6):
    """JPEGs of two classes, bright and dark, of several sizes."""
    draw = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for i in range(count):
            folder = root / part / ("bright" if i % 2 else "dark")
            folder.mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 128, (40 + i % 3, 48, 3)) + 127 * (i % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.jpg")
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return streamed.Folder(str(photographs(tmp_path_factory.mktemp("photographs"))), size=32)


@pytest.fixture(autouse=True)
def store(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path_factory.getbasetemp() / "streamed-store"))


def test_images_are_squares_in_the_unit_range_and_a_smaller_set_lies_inside_a_larger_one(folder):
    whole = streamed.images_of(folder, "train")
    x, label = whole[0]
    assert x.shape == (3, 32, 32) and 0 <= x.min() <= x.max() <= 1 and label in (0, 1)
    few = streamed.images_of(streamed.Folder(folder.path, size=32, n_train=5), "train")
    assert list(few.indices) == list(whole.indices[:5])


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="train/CLASS"):
        streamed.Folder(str(tmp_path))
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="val/CLASS"):
        streamed.Folder(str(tmp_path))
    (tmp_path / "val").mkdir()
    with pytest.raises(ValueError, match="train/CLASS"):
        streamed.images_of(streamed.Folder(str(tmp_path)), "train")


@pytest.mark.slow
def test_every_net_is_measured_once_and_found_again(folder, monkeypatch):
    places = {"lambdas": [0.0, 1e-6], "seeds": [0]}
    frame = streamed.measured(folder, **places, **TUNING, attacks=ATTACKS)
    assert set(frame["quantity"]) >= {"alpha", "alpha_plus", "rho_tilde", "distance", "clean_accuracy"}
    assert set(frame.loc[frame["quantity"] == "distance", "attack"]) == set(ATTACKS)
    assert frame.groupby(["model", "quantity", "attack"]).size().eq(1).all()
    assert frame["each"].map(len).eq(6).all()
    monkeypatch.setattr(streamed, "_step", lambda *_: pytest.fail("trained again"))
    again = streamed.measured(folder, **places, **TUNING, attacks=ATTACKS)
    assert again.equals(frame)
    assert len(streamed.pictures(folder, frame, **TUNING)) == 2


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_said(folder):
    with pytest.raises(Diverged, match="lambda 1e\\+30"):
        streamed.fine_tuned(folder, lambda_g=1e30, seed=0, **TUNING)


@pytest.mark.slow
def test_values_are_those_of_the_whole_set_at_once_from_the_mean_colour(folder):
    net = streamed.fine_tuned(folder, lambda_g=0.0, seed=0, **TUNING)
    images = streamed.images_of(folder, "val")
    x = torch.stack([image for image, _ in images])
    terms = metrics.alignment_terms(net, x, origin=streamed.ORIGIN)
    rows = streamed.values(net, images, attacks={}, batch_size=4)
    each = {row["quantity"]: torch.tensor(row["each"]) for row in rows}
    torch.testing.assert_close(each["alpha"], terms.alpha, rtol=1e-3, atol=1e-3, check_dtype=False)
    torch.testing.assert_close(each["alpha_plus"], terms.alpha_plus, rtol=1e-3, atol=1e-3, check_dtype=False)
    torch.testing.assert_close(each["shift"], terms.shift, rtol=1e-2, atol=1e-2, check_dtype=False)


MEMORY = """
import resource, sys, torch
from companion.experiment import streamed
from companion.training import Diverged
torch.set_num_threads(1)
folder = streamed.Folder(sys.argv[1], size=64, n_train=int(sys.argv[2]), n_test=4)
tuning = dict(weights=None, epochs=1, batch_size=16, lr=1e-3, momentum=0.9)
net = streamed.fine_tuned(folder, lambda_g=0.0, seed=0, **tuning)
for x, y in streamed.batches(streamed.images_of(folder, "train"), 16):
    net(x[:1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """2,000 photographs at once would be 98 MB more than 200; the bar is a tenth."""
    root = photographs(tmp_path, train=2000, val=4)

    def peak(count):
        command = [sys.executable, "-c", MEMORY, str(root), str(count)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert peak(2000) < 1.1 * peak(200)
