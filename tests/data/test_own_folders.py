"""Image folders as people have them: read rightly, or refused in one line that says what to do."""

import os
import struct
import subprocess
import sys
import warnings
import zlib
from html import escape
from unicodedata import normalize

import numpy as np
import pytest
import torch
from PIL import Image

from companion import data, plots
from companion.data import listing

CLASSES = ("cat", "dog")


@pytest.fixture
def folder(tmp_path, write_images):
    """Three images of 6x6 in each of two classes; cat/000.png is what a test puts in its place."""
    return write_images(tmp_path / "pictures", 3)


def put(folder, image, name="000.png", **settings):
    (folder / "cat" / "000.png").unlink()
    image.save(folder / "cat" / name, **settings)


def pixels(folder, **settings):
    """The images of the class cat, in the order of their names, as levels from 0 to 255."""
    images = data.load(f"folder:{folder}", **settings)
    x, y = torch.cat([images.x_train, images.x_test]), torch.cat([images.y_train, images.y_test])
    return images, x[y == 0].mul(255).round().long()


def has(found, image):
    """Whether one of the images found is this one, (C, H, W)."""
    return any(torch.equal(x, torch.as_tensor(image).long()) for x in found)


def refusal(folder, question=data.load):
    with pytest.raises(ValueError) as error:
        question(f"folder:{folder}")
    assert "\n" not in str(error.value)
    return str(error.value)


# --- what an image shows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB with a transparent colour"])
def test_what_is_transparent_is_white_and_not_the_colour_hidden_below_it(mode, folder):
    levels = np.zeros((6, 6, 4), np.uint8)
    levels[..., 0] = 200  # a hidden red
    levels[3:] = (0, 0, 0, 255)
    image, settings = Image.fromarray(levels), {}
    if mode == "P":
        image = Image.fromarray(np.repeat([0, 1], 18).reshape(6, 6).astype(np.uint8), "P")
        image.putpalette([200, 0, 0, 0, 0, 0])
        settings = {"transparency": 0}
    elif mode == "RGB with a transparent colour":
        image, settings = Image.fromarray(levels[..., :3].copy()), {"transparency": (200, 0, 0)}
    else:
        image = image.convert(mode if mode != "PA" else "RGBA")
    put(folder, image, **settings)
    expected = np.full((3, 6, 6), 255)
    expected[:, 3:] = 0
    assert has(pixels(folder)[1], expected)


def test_half_transparent_is_half_white(folder):
    put(folder, Image.new("RGBA", (6, 6), (0, 0, 0, 128)))
    assert has(pixels(folder)[1], np.full((3, 6, 6), 127))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_exif_says(orientation, folder):
    upright = np.zeros((6, 6, 3), np.uint8)
    upright[0, :4] = 255  # a bar at the top left: no symmetry
    stored = Image.fromarray(upright)
    if orientation > 1:
        names = Image.Transpose
        by = {
            2: names.FLIP_LEFT_RIGHT,
            3: names.ROTATE_180,
            4: names.FLIP_TOP_BOTTOM,
            5: names.TRANSPOSE,
            6: names.ROTATE_90,
            7: names.TRANSVERSE,
            8: names.ROTATE_270,
        }
        stored = stored.transpose(by[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    put(folder, stored, exif=exif)
    assert has(pixels(folder)[1], upright.transpose(2, 0, 1))


def png16(colour, channels):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = (b"\0" + np.full(6 * channels, 40_000, ">u2").tobytes()) * 6
    header = struct.pack(">IIBBBBB", 6, 6, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


FINE = {
    "grey.png": png16(0, 1),
    "rgb.png": png16(2, 3),
    "grey-alpha.png": png16(4, 2),
    "rgba.png": png16(6, 4),
    "rgb.ppm": b"P6 6 6 65535\n" + bytes(216),
    "grey.pgm": b"P5 6 6 65535\n" + bytes(72),
}


@pytest.mark.parametrize("name", FINE)
def test_more_than_8_bits_are_refused_in_grey_and_in_colour(name, folder):
    (folder / "cat" / name).write_bytes(FINE[name])
    assert refusal(folder).endswith(f"{name} has more than 8 bits a channel; save it with 8")


@pytest.mark.parametrize("kind", ["palette", "animation"])
def test_grey_stays_grey(kind, tmp_path, write_images):
    folder = write_images(tmp_path / "pictures", 3, mode="L")
    frames = [Image.new("L", (6, 6), level) for level in (30, 90, 150)]
    if kind == "palette":
        put(folder, frames[0].convert("P"))
    else:
        put(folder, frames[0], "000.gif", save_all=True, append_images=frames[1:])
    images, found = pixels(folder)
    assert images.channels == 1 and has(found, np.full((1, 6, 6), 30))  # of the animation the first picture


@pytest.mark.parametrize("case", ["cut", "broken", "bomb", "no rights"])
def test_an_image_that_cannot_be_decoded_is_named(case, folder, monkeypatch):
    file = folder / "cat" / "000.png"
    if case == "cut":
        file.write_bytes(file.read_bytes()[:-25])
    elif case == "broken":
        content = file.read_bytes()
        file.write_bytes(content[:40] + bytes([content[40] ^ 255]) + content[41:])
    elif case == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    else:
        opened = Image.open

        def refused(path):
            if path.name == "000.png":
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path)

        monkeypatch.setattr(Image, "open", refused)
    assert "000.png is not a readable image (" in refusal(folder)


def test_a_large_photograph_is_no_bomb(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # Pillow warns from here on, and refuses twice as many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load(f"folder:{folder}")


def test_photographs_as_they_come_are_refused_at_once_unless_a_size_is_given(folder):
    Image.new("L", (700, 500)).save(folder / "cat" / "IMG_1.jpg")
    assert "IMG_1.jpg is 500x700, too large for the nets here; make small copies" in refusal(folder)
    assert data.load(f"folder:{folder}", size=6).size == 6


def test_images_decoded_by_other_code_are_decoded_again(folder, monkeypatch):
    from companion.data import folders

    _, before = pixels(folder)
    monkeypatch.setattr(folders, "fingerprint", lambda module: "another")
    monkeypatch.setattr(folders, "_read", lambda path, size: np.zeros((6, 6, 3), np.uint8))
    assert before.any() and not pixels(folder)[1].any()


def test_decoding_leaves_no_bar_where_nobody_watches(folder, capfd):
    data.load(f"folder:{folder}")
    assert capfd.readouterr() == ("", "")


# --- what a folder holds ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts", [("Train", "Test"), ("train", "val"), ("TRAIN", "Validation"), ("train", "test")]
)
def test_parts_in_the_names_that_people_give_them(parts, tmp_path, write_images):
    for part, n in zip(parts, (4, 2), strict=True):
        write_images(tmp_path / "pictures" / part, n)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        images = data.load(f"folder:{tmp_path / 'pictures'}")
    assert (len(images.y_train), len(images.y_test)) == (8, 4)
    expected = [] if parts[1].lower() == "test" else [f"{parts[1]}/ is taken for the test images"]
    assert [str(w.message).split(": ")[-1] for w in said] == expected


def test_what_is_not_used_is_said(folder, tmp_path, write_images):
    (folder / "cat" / "more").mkdir()
    for stray in ("sheet.png", "cat/more/deep.jpg"):
        Image.new("RGB", (6, 6)).save(folder / stray)
    (folder / "notes.txt").write_text("stray text is no image")
    (folder / "cat" / "notes.txt").write_text("neither here")
    (line,) = data.unused(f"folder:{folder}")
    assert line.endswith("not used: 2, such as cat/more/deep.jpg")
    with pytest.warns(UserWarning, match="not used: 2"):
        assert len(data.load(f"folder:{folder}").y_train) == 5

    for part in ("train", "test", "val", "extra"):
        write_images(tmp_path / "split" / part)
    (line,) = data.unused(f"folder:{tmp_path / 'split'}")
    assert line.endswith(": extra/ and val/ beside the two parts is not used")
    assert data.unused("digits") == []


def test_two_folders_for_one_part_are_named(tmp_path, write_images):
    for part in ("train", "Train", "test"):
        write_images(tmp_path / part)
    assert "holds Train/ and train/; keep one of them" in refusal(tmp_path, data.require)


def test_a_class_folder_without_a_readable_image_is_named(folder):
    (folder / "fox").mkdir()
    (folder / "fox" / "scan.npy").write_bytes(b"")
    assert f"{folder / 'fox'} holds no image that can be read" in refusal(folder, data.require)


@pytest.mark.parametrize("suffix", [".heic", ".HEIC", ".avif"])
def test_a_picture_of_another_format_is_named(suffix, folder):
    (folder / "cat" / f"IMG_1{suffix}").write_bytes(b"")
    expected = f"IMG_1{suffix}: {suffix} is not read here; save it as .jpg or .png, or take it away"
    assert refusal(folder, data.require).endswith(expected)


def test_accents_count_the_same_in_both_spellings(tmp_path, write_images):
    composed, apart = (normalize(form, "été") for form in ("NFC", "NFD"))
    assert composed != apart
    write_images(tmp_path / "one" / "train", classes=(composed, "hiver"))
    write_images(tmp_path / "one" / "test", classes=(apart, "hiver"))
    write_images(tmp_path / "two" / "train", classes=(apart, "hiver"))
    write_images(tmp_path / "two" / "test", classes=(composed, "hiver"))
    names = [f"folder:{tmp_path / name}" for name in ("one", "two")]
    assert [data.load(name).classes for name in names] == [("hiver", composed)] * 2
    assert data.identity(names[0]) == data.identity(names[1])


@pytest.mark.parametrize("place", ["cat/000.jpg", "fox"])
def test_a_link_that_leads_nowhere_is_named(place, folder):
    (folder / place).symlink_to("/nowhere/at/all")
    assert f"{folder / place} is a link to a missing file" in refusal(folder, data.require)


@pytest.mark.parametrize("question", [data.require, data.identity, data.load, data.unused])
def test_a_folder_that_cannot_be_read_is_named(question, folder, monkeypatch):
    scanned = os.scandir

    def scandir(place):
        if str(place).endswith("cat"):
            raise PermissionError(13, "Permission denied", str(place))
        return scanned(place)

    monkeypatch.setattr(listing.os, "scandir", scandir)
    assert f"{folder / 'cat'} cannot be read (Permission denied)" in refusal(folder, question)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems hold UTF-8 alone")
@pytest.mark.parametrize("place", ["", "caf\udce9", "cat/\udce9.png"])
def test_a_name_that_is_not_utf8_is_named(place, folder):
    if place:
        target = folder / place
        target.mkdir() if "." not in place else target.write_bytes(b"")
    else:
        folder = folder.rename(folder.with_name("caf\udce9"))
    assert "\\udce9' is no UTF-8; rename it" in refusal(folder, data.require).replace(
        "\\udce9.png", "\\udce9"
    )
    refusal(folder, data.require).encode("ascii")


def test_a_class_that_the_split_leaves_without_a_training_image_is_named(folder):
    (folder / "fox").mkdir()
    Image.new("RGB", (6, 6)).save(folder / "fox" / "only.png")
    lines = [refusal_of_split(folder, seed) for seed in range(20)]
    assert any("no image of class 'fox' is left to train on" in line for line in lines)
    assert any(not line for line in lines)  # seeds that leave it to be trained on are fine


def refusal_of_split(folder, seed):
    try:
        data.load(f"folder:{folder}", split_seed=seed)
    except ValueError as error:
        return str(error)
    return ""


def test_too_few_images_for_all_classes_are_said():
    with pytest.raises(
        ValueError, match="none of the 5 training images of digits is of class '.'; ask for more"
    ):
        data.load("digits", n_train=5)


def test_mnist_with_dots_in_its_names_is_said(mnist_root):
    raw = mnist_root / "MNIST" / "raw"
    for file in list(raw.iterdir()):
        file.rename(raw / file.name.replace("-idx", ".idx"))
    with pytest.raises(
        data.DataMissing, match=r"holds train-images.idx3-ubyte; rename it to train-images-idx3"
    ):
        data.require("mnist", mnist_root)


@pytest.mark.parametrize("lost", ["HOME", "~"])
def test_without_a_home_folder(lost, tmp_path):
    """A user without an entry in the system's list of users, as in many containers."""
    name = "folder:~/pictures" if lost == "~" else "digits"
    code = (
        "import os, pwd, sys\n"
        "def unknown(*_): raise KeyError('uid not found')\n"
        "pwd.getpwuid = pwd.getpwnam = unknown\n"
        "from companion import data\n"
        "from companion.data.sources import data_root\n"
        f"data.require({name!r}); print(data_root())"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "COMPANION_DATA")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True
    )
    if lost == "HOME":
        assert done.stdout.strip() == str(tmp_path / ".cache" / "companion" / "data")
    else:
        assert "ValueError: ~/pictures: no home folder is known here; write the whole path" in done.stderr


NAMES = ["A&B", "<b>x", "$5 or $6", "a|b", "漢字", "back\\slash", "été", '"quoted"']


@pytest.mark.skipif(os.name == "nt", reason="its file systems refuse such names")
def test_names_of_classes_are_shown_as_they_are(tmp_path, write_images):
    """In titles of figures, tables, captions and alt texts, whatever the name would mean in HTML or TeX."""
    folder = write_images(tmp_path / "cats & <dogs> $1 $2", 3, classes=(*NAMES[:2],))
    for name in NAMES[2:]:
        (folder / name).mkdir()
        for n in range(3):
            Image.new("RGB", (6, 6)).save(folder / name / f"{n}.png")
    images = data.load(f"folder:{folder}")
    seen = [normalize("NFKC", name) for name in images.classes]
    assert sorted(seen) == sorted(normalize("NFKC", name) for name in NAMES)
    for name in (images.label, *images.classes):
        assert not set("$&<>\\") & set(name)
        fig = plots.gallery([(name, [images.x_test[0]])], columns=[name], pixels="all")
        html = plots.show(fig, alt=name, finding=f"<b>{name}</b>").html
        assert html.count(escape(name, quote=False)) >= 3  # label and title of the figure, and the finding
        assert f'aria-label="{escape(name)}"' in html
