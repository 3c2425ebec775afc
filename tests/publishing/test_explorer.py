"""The explorer without a browser: every position of its controls leads to the frame it was given."""

import io
import json
from base64 import b64decode
from itertools import product

import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image

from companion import plots
from companion.publishing.explorers import explorer
from companion.publishing.pages.site import SCRIPT_LOAD, _loaded

CONTROLS = {"β": [0.0, 0.5, 1.0], "carrier": ["Gaussian", "Rayleigh & co"]}


def frame(beta, carrier):
    noise = torch.full((1, 2, 3), beta)
    pictures = {"image": plots.png(torch.ones(1, 2, 3)), "noise <n>": plots.png(noise)}
    return pictures, {"accuracy": f"{beta:g} {carrier} </script>", "VII": "0.1"}


@pytest.fixture
def frames():
    return {place: frame(*place) for place in product(*CONTROLS.values())}


def parsed(shown):
    soup = BeautifulSoup(shown._repr_html_(), "html.parser")
    return soup, json.loads(soup.find("script", type="application/json").string)


def test_every_position_shows_its_own_frame(frames):
    """What the script computes: mixed radix over the controls, then pictures and texts by position."""
    soup, data = parsed(explorer.frames(CONTROLS, frames, caption="C"))
    assert data["values"] == [["0", "0.5", "1"], ["Gaussian", "Rayleigh & co"]]
    assert len(data["frames"]) == 6
    for i, beta in enumerate(CONTROLS["β"]):
        for j, carrier in enumerate(CONTROLS["carrier"]):
            shown, texts = data["frames"][i * 2 + j]
            pictures, numbers = frames[beta, carrier]
            assert [b64decode(data["pictures"][p]) for p in shown] == list(pictures.values())
            assert texts == list(numbers.values())
    assert [slot.parent.figcaption.text for slot in soup.select(".slot")] == ["image", "noise <n>"]
    assert [dt.text for dt in soup.select("dt")] == ["accuracy", "VII"]


def test_a_shared_picture_is_stored_once(frames):
    _, data = parsed(explorer.frames(CONTROLS, frames, caption="C"))
    assert len(data["pictures"]) == 3  # white is the image, and the noise of β = 1


def test_without_javascript_the_first_frame_and_a_sentence_are_seen_and_no_dead_controls(frames):
    soup, data = parsed(explorer.frames(CONTROLS, frames, caption="C", start=(0.5, "Rayleigh & co")))
    assert soup.form.has_attr("hidden") and not soup.select_one(".still").has_attr("hidden")
    assert "β 0.5, carrier Rayleigh & co" in soup.select_one(".still").text
    images = [img["src"] for img in soup.select(".slot > img")]
    shown, texts = data["frames"][3]
    assert images == ["data:image/png;base64," + data["pictures"][p] for p in shown]
    assert [dd.text for dd in soup.select("dd")] == texts


def test_controls_can_be_named_reached_and_heard(frames):
    soup, _ = parsed(
        explorer.frames(CONTROLS, frames, caption="What it <b>shows</b>", start=(0.5, "Gaussian"))
    )
    (slider,) = soup.select("input[type=range]")
    assert (slider["min"], slider["max"], slider["step"], slider["value"]) == ("0", "2", "1", "1")
    assert slider["aria-valuetext"] == "0.5" == slider.find_next_sibling("output").text
    assert slider.parent.name == "label" and slider.parent.text.startswith("β")
    radios = soup.select("fieldset input[type=radio]")
    assert soup.legend.text == "carrier"
    assert [radio.parent.text for radio in radios] == CONTROLS["carrier"]
    assert [radio.has_attr("checked") for radio in radios] == [True, False]
    assert len({radio["name"] for radio in radios}) == 1 and radios[0]["name"] != slider["name"]
    assert soup.select_one("[role=status] dl") and soup.figure["role"] == "group"
    assert soup.figure.figcaption.text == "What it shows"
    assert all(img["alt"] for img in soup.select("img"))


def test_nothing_is_loaded_and_the_script_is_small(frames):
    soup, _ = parsed(explorer.frames(CONTROLS, frames, caption="C"))
    assert all(url.startswith("data:") for url, _ in _loaded(soup))
    script = soup.find_all("script")[-1].string
    assert not SCRIPT_LOAD.search(script) and "http" not in script and len(script) < 2000


def test_svg_from_plots_is_a_picture_too():
    shown = []
    for slope in (1, -1):
        fig, axes = plots.subplots(size=(2, 1))
        axes[0, 0].plot([0, 1], [0, slope])
        shown.append(plots.show(fig, alt=f"slope {slope}"))
    frames = {(0,): ({"line": shown[0]}, {}), (1,): ({"line": shown[1]}, {})}
    soup, data = parsed(explorer.frames({"step": [0, 1]}, frames, caption="C"))
    assert data["pictures"] == [s.html for s in shown]
    assert soup.select_one(".slot svg")["aria-label"] == "slope 1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.pop((0.5, "Gaussian")), r"\(0.5, 'Gaussian'\) has no frame; give one .* 6"),
        (
            lambda f: f.update({(0.7, "Gaussian"): f[0.5, "Gaussian"]}),
            r"\(0.7, 'Gaussian'\) has a frame, which",
        ),
        (lambda f: f.update({(1.0, "Gaussian"): ({}, {})}), r"\(1.0, 'Gaussian'\) has pictures none"),
        (lambda f: f[1.0, "Gaussian"][0].update(image="<svg></svg>"), r"image \(HTML\)"),
    ],
)
def test_an_incomplete_set_of_frames_is_named(frames, change, words):
    change(frames)
    with pytest.raises(ValueError, match=words):
        explorer.frames(CONTROLS, frames, caption="C")


def test_controls_and_start_are_checked(frames):
    with pytest.raises(ValueError, match="'β' has the values"):
        explorer.frames({**CONTROLS, "β": []}, frames, caption="C")
    with pytest.raises(ValueError, match="each once"):
        explorer.frames({**CONTROLS, "β": [0.0, 0.5, 0.5]}, frames, caption="C")
    with pytest.raises(ValueError, match=r"start=\(2.0, 'Gaussian'\)"):
        explorer.frames(CONTROLS, frames, caption="C", start=(2.0, "Gaussian"))


class TestPng:
    def rgb(self, png):
        image = Image.open(io.BytesIO(png)).convert("RGB")
        return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(*image.size[::-1], 3)

    def test_pixels_keep_their_grey_and_their_colour(self):
        grey = torch.tensor([[[0.0, 0.2, 1.0]]])
        assert self.rgb(plots.png(grey))[0, :, 0].tolist() == [0, 51, 255]
        colour = torch.tensor([1.0, 0.2, 0.0]).view(3, 1, 1)
        assert self.rgb(plots.png(colour))[0, 0].tolist() == [255, 51, 0]

    def test_a_signed_map_has_the_house_colours_with_zero_in_the_middle(self):
        colours = self.rgb(plots.png(torch.tensor([[[-2.0, 0.0, 2.0, 9.0]]]), limit=2.0))[0]
        expected = plots.plt.get_cmap(plots.SIGNED)([0.0, 0.5, 1.0, 1.0], bytes=True)[:, :3]
        assert colours.tolist() == expected.tolist()

    def test_it_is_tiny(self):
        generator = torch.Generator().manual_seed(0)
        for size, most in ((8, 300), (28, 900), (32, 1100)):
            picture = torch.randn(1, size, size, generator=generator)
            assert len(plots.png(picture, limit=plots.scale(picture))) < most


def test_controls_can_be_read_off_the_frames(frames):
    assert (
        explorer.over(list(CONTROLS), frames, caption="C").html
        == explorer.frames(CONTROLS, frames, caption="C").html
    )
