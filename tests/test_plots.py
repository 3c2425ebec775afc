import re

import numpy as np
import pandas as pd
import pytest
import torch

from companion import data, models, plane, playground, plots
from companion.playground import alignment_panel, controls, panel
from companion.training import part


def test_a_shown_figure_takes_the_pages_ink_and_carries_its_alt_text():
    fig, axes = plots.subplots(size=(3, 2))
    axes[0, 0].plot([0, 1], [0, 1], label="a")
    axes[0, 0].legend()
    axes[0, 0].set_title("T")
    html = plots.show(fig, alt='says "so" & more', finding="It rises.").html
    assert "#010203" not in html and "currentColor" in html
    assert 'aria-label="says &quot;so&quot; &amp; more"' in html and "It rises." in html
    head = html[html.index("<svg") : html.index(">", html.index("<svg"))]
    assert not re.search(r' (width|height)="', head) and "viewBox" in head
    assert "#000000" not in html  # nothing that would be black on black


def test_signed_maps_have_zero_in_the_middle():
    fig = plots.gallery([("g", [torch.tensor([[[0.5, -2.0], [0.0, 1.0]]])])])
    image = fig.axes[0].images[0]
    assert image.get_clim() == (-2.0, 2.0) and image.get_cmap().name == plots.SIGNED


def test_a_map_of_zeros_has_a_scale():
    assert plots.scale(torch.zeros(1, 2, 2)) == 1.0


def test_one_of_each_takes_the_first_of_each_class():
    assert plots.one_of_each(torch.tensor([3, 3, 1, 0, 1]), 2) == [3, 2]


def test_interval_is_students():
    mean, half = plots.interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.302653 / 3**0.5, rel=1e-5))
    assert plots.interval([4.0]) == (4.0, 0.0)


def test_a_clipped_map_is_symmetric_and_keeps_what_is_within_its_percentiles():
    picture = torch.linspace(-1, 3, 2001).view(1, 3, 667)
    clipped = plots.clipped(picture, percentile=5)
    assert plots.scale(clipped) == pytest.approx(2.8, abs=0.01) and clipped.min() == -1
    colours = torch.stack([picture[0], picture[0]])
    assert plots.clipped(colours).shape == (1, 3, 667)  # channels are summed
    assert plots.clipped(torch.zeros(1, 4, 4)).abs().max() == 0
    few = torch.zeros(1, 100, 100)
    few[0, 0, 0] = 5.0
    assert plots.scale(plots.clipped(few)) == 5.0  # nothing but zeros within the percentiles: as it is


def test_residuals_stand_beside_their_projections_on_one_scale():
    x, half = torch.ones(1, 2, 2), torch.full((1, 2, 2), 0.5)
    fig = plots.projected({"image": (x, {"half": half}), "a, b": (half, {"half": half})})
    assert len(fig.axes) == 6
    titles = [axis.get_title() for axis in fig.axes]
    assert titles == ["", "half", "1.00", "", "", "0.00"]
    assert {axis.images[0].get_clim() for axis in (fig.axes[2], fig.axes[5])} == {(-1.0, 1.0)}
    assert fig.axes[3].get_ylabel() == "a\nb"


def test_areas_leave_out_what_has_no_spread():
    fig = plots.areas({"a": [1.0, 2.0, 3.0], "b": [2.0, 2.0]}, ["#111111", "#222222"], title="t", label="x")
    assert [line.get_label() for line in fig.axes[0].lines] == ["a"]


def test_a_plane_shows_both_classes_the_attacks_and_the_mean_arrow():
    points = data.maker("gaussians")(n_train=200, n_test=100)
    net = models.one_hidden(width=8)
    moved = (points.x_test[points.y_test == 0] + 0.1).clamp(0, 1)
    shown = plots.show(plane.plane(net, points, moved, count=5, title="t"), alt="a plane")
    assert all(colour.lower() in shown.html for colour in (*plane.CLASSES, plane.ATTACKED))
    short = plane.shortened(shown)
    assert len(short) < len(shown.html) and not re.search(r"\d\.\d{5}", short)


def test_what_is_left_over_is_the_attack_minus_its_projection():
    images = data.load("digits", n_train=20, n_test=10)
    net = models.digits_cnn(1, 8, 10).eval()
    x, chosen = images.x_test[[3, 5]], [3, 5]
    attacked = (x + 0.2).clamp(0, 1)
    (_, (pictures, numbers)) = playground.left_over(net, images, chosen, attacked, x)
    assert list(pictures) == ["image", "attack", "projection", "residual"]
    assert pictures["image"] == pictures["projection"] != pictures["attack"]
    assert pictures["image"] == plots.png(images.x_test[5])
    assert numbers["distance"] == f"{(attacked - x)[1].norm():.2f}"
    with torch.no_grad():
        says = [images.classes[int(net(of)[1].argmax())] for of in (x, attacked)]
    assert numbers["the net says"] == " → ".join(says)


class TestControls:
    def draw(self, start: float = 0.5, net: str = "two", image: int = 3) -> plots.Shown:
        self.drawn += 1
        if start > 2:
            raise ValueError(f"start={start};\n at most <2>")
        return plots.Shown(f"{net} {image} {start:g}")

    @pytest.fixture
    def box(self):
        self.drawn = 0
        return controls(self.draw, live=True, start=(0.0, 3.0, 0.25), net=["one", "two"], image=(0, 9))

    def test_a_change_of_any_control_redraws_once(self, box):
        *made, picture = box.children
        assert [control.description for control in made] == ["start", "net", "image"]
        assert (picture.value, self.drawn) == ("two 3 0.5", 1)
        for count, (control, value) in enumerate(zip(made, (1.25, "one", 7), strict=True), 2):
            control.value = value
            assert self.drawn == count
        made[0].value = 1.25  # no change
        assert (picture.value, self.drawn) == ("one 7 1.25", 4)

    def test_an_error_is_one_line_and_the_next_change_draws_again(self, box):
        start, *_, picture = box.children
        start.value = 3.0
        assert picture.value == "<p><b>ValueError</b>: start=3.0; at most &lt;2&gt;</p>"
        start.value = 1.0
        assert picture.value == "two 3 1"

    def test_without_a_kernel_there_is_a_picture_and_the_way_to_open_it(self):
        self.drawn = 0
        html = controls(self.draw, live=False, start=(0.0, 3.0), net=["one", "two"]).html
        assert html.startswith("two 3 0.5") and "start, net" in html and "make lab" in html


class TestPanel:
    @pytest.fixture
    def set_up(self):
        torch.manual_seed(0)
        return {"one": models.digits_cnn().eval()}, data.load("digits")

    def test_the_same_choice_shows_the_same_picture(self, set_up):
        nets, images = set_up
        titles = [
            [axis.get_title() for axis in panel(nets["one"], images, 3, norm="l2", eps=1.0).axes]
            for _ in "ab"
        ]
        assert titles[0] == titles[1]
        assert f"label {images.classes[int(images.y_test[3])]}" in titles[0][0]

    def test_an_image_that_is_not_there_is_named(self, set_up):
        nets, images = set_up
        with pytest.raises(ValueError, match="index=400"):
            panel(nets["one"], images, 400, norm="l2", eps=1.0)


def test_a_saved_picture_has_light_and_dark_ink_on_nothing(tmp_path):
    from matplotlib.image import imread

    fig, axes = plots.subplots(size=(2, 1))
    axes[0, 0].set_title("words")
    plots.save(fig, tmp_path / "p", dpi=60)
    light, dark = (imread(tmp_path / f"p-{theme}.png") for theme in ("light", "dark"))
    assert light[0, 0, 3] == 0 and light.shape == dark.shape
    ink = [picture[..., :3][picture[..., 3] > 0.9].mean() for picture in (light, dark)]
    assert ink[0] < ink[1]


def test_names_of_points_that_lie_together_are_moved_apart_and_led_to():
    points = pd.DataFrame({"x": [0.0, 0.0, 1.0], "y": [5.0, 5.01, 9.0]}, index=["a", "b", "c"])
    fig = plots.named_points(points, lambda name: "#000000")
    (axis,) = fig.axes
    heights = {text.get_text().strip(): text.get_position()[1] for text in axis.texts}
    assert list(heights) == ["a", "b", "c"] and heights["b"] - heights["a"] > 1
    led = [line for line in axis.lines if len(line.get_xdata()) == 2]
    assert [tuple(line.get_ydata()) for line in led] == [(y, heights[n]) for n, y in points["y"].items()]
    assert plots.show(fig, alt="").html.count("fill: currentColor") >= len(axis.texts)
    assert {text.get_color() for text in axis.texts} == {plots.STYLE["text.color"]}  # reads in the dark


def test_dots_and_curves_show_mean_and_interval_over_seeds():
    frame = pd.DataFrame(
        {"model": ["a"] * 3 + ["b"] * 3, "level": [0, 0, 0, 1, 1, 1], "value": [1, 2, 3, 4, 4, 4.0]}
    )
    fig = plots.dots({"one": frame}, ["a", "b"], lambda name: "#000000")
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == ["a", "b"]
    centre = [line.get_xdata() for line in fig.axes[0].lines if line.get_marker() == "o"]
    assert [float(x[0]) for x in centre] == [2, 4]
    fig = plots.panels({"p": {"one": frame}}, "level", {"one": "#000000"})
    assert fig.axes[0].lines[0].get_ydata().tolist() == [2, 4]
    low, high = plots.interval([1, 2, 3])
    band = fig.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(low - high) and band.max() == pytest.approx(low + high)


def test_points_are_one_a_row_hollow_where_asked_and_infinite_ones_left_out():
    frame = pd.DataFrame({"x": [1.0, 2.0, float("inf")], "y": [3.0, 4.0, 5.0], "model": [0.1, 0.2, 0.2]})
    colours = plots.ramp([0.1, 0.2])
    panels = {"one": frame, "two": frame, "three": frame}
    fig = plots.points(panels, "x", "y", colours, filled=lambda row: row["model"] < 0.2, names="λ")
    assert [axis.get_title() for axis in fig.axes] == ["one", "two", "three"]
    dots = fig.axes[0].lines
    assert [(d.get_xdata()[0], d.get_ydata()[0]) for d in dots] == [(1, 3), (2, 4)]
    assert [d.get_markerfacecolor() for d in dots] == [colours[0.1], "none"]
    assert fig.axes[0].get_ylim()[0] == 0  # lengths start at zero
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["0.1", "0.2"]
    equal = plots.points({"": frame}, "x", "y", colours, diagonal=True, columns=1)
    assert list(equal.axes[0].lines[-1].get_xdata()) == [1, 2]


def test_the_alignment_panel_stacks_the_terms_of_the_bounds():
    torch.manual_seed(0)
    net, images = models.digits_cnn().eval(), data.load("digits")
    fig = alignment_panel(net, images, 3, origin=0.5, common=0.2)
    bars = fig.axes[-1].patches
    first = [bar.get_width() for bar in bars]
    assert len(first) == 8 and first[0] <= first[1] + first[2] + 1e-6 <= sum(first[3:6]) + 1e-5
    with pytest.raises(ValueError, match="index=400"):
        alignment_panel(net, images, 400)


def test_several_figures_stand_in_one_row_that_wraps_and_have_one_finding():
    figures = [plots.subplots(size=(2, 2))[0] for _ in range(3)]
    figures[2].axes[0].set_title("accuracy")
    html = plots.show_all(figures, alt="Panel", finding="found").html
    assert html.count("<svg") == 3 and html.count("found") == 1 and "flex-wrap" in html
    assert 'aria-label="Panel 2 of 3."' in html and 'aria-label="Panel 3 of 3: accuracy."' in html


def test_levels_stand_in_the_panel_of_their_title():
    rows = [
        {"model": m, "seed": s, "value": v + s, "b": v} for m, v in (("a", 0.0), ("b", 1.0)) for s in (0, 2)
    ]
    frame = pd.DataFrame(rows)
    level = {"VII": frame.assign(value=frame["value"] + 10)}
    panels = {"VII": frame, "accuracy": frame}
    crossed, bare = plots.dots_each(panels, ["b", "a"], {"a": "C0", "b": "C1"}.get, level)
    crosses = [line for line in crossed.axes[0].lines if line.get_marker() == "x"]
    assert [list(of.get_xdata()) for of in crosses] == [[12.0, 11.0]]
    assert not [line for line in bare.axes[0].lines if line.get_marker() == "x"]
    dashed, plain = plots.curves_each(panels, "b", "C0", level)
    assert list(dashed.axes[0].lines[-1].get_ydata()) == [11.0, 12.0]
    assert len(plain.axes[0].lines) == len(dashed.axes[0].lines) - 1
    for fig in (crossed, bare, dashed, plain):
        plots.plt.close(fig)


def test_a_mosaic_holds_every_picture_in_its_place():
    pictures = torch.zeros(5, 1, 2, 2)
    pictures[4] = 1
    fig = plots.mosaic(pictures, 3, signed=False)
    shown = fig.axes[0].images[0].get_array()
    assert shown.shape == (6, 9, 3)
    assert (shown[3:5, 3:5] == 1).all() and (shown[:2, :2] == 0).all()
    plots.plt.close(fig)


def test_modulation_and_what_training_sees_are_drawn():
    images = data.load("digits", n_train=40, n_test=8)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    chosen = {"carrier": "laplace", "beta": 0.3, "centre": (0.3,)}
    fig = playground.modulation(net, images, 3, **chosen)
    shown = [axis.get_title() for axis in fig.axes]
    assert shown[0] == f"label {int(images.y_test[3])}" and shown[4] == "its signs"
    signs = fig.axes[4].images[0].get_array()
    assert set(np.unique(signs)) <= {-1.0, 0.0, 1.0}
    with pytest.raises(ValueError, match="index=8; expected 0 to 7"):
        playground.modulation(net, images, 8, **chosen)
    plots.plt.close("all")
    x, y = images.x_test, images.y_test
    plain = playground.seen_in_training(net, x, y, None)
    noisy = playground.seen_in_training(net, x, y, part("noise_modulation", **chosen))
    first = "as training sees it"
    assert plain[first] == plots.png(x[0]) != noisy[first]
    assert {k: v for k, v in plain.items() if k != first} == {k: v for k, v in noisy.items() if k != first}


def test_a_heat_has_a_number_in_each_cell_and_a_colour_where_it_counts():
    names = {"index": ["A", "B"], "columns": ["1", "2"]}
    shades = pd.DataFrame([[0.0, 1.0], [np.nan, 0.5]], **names)
    faint = pd.DataFrame([[False, False], [False, True]], **names)
    fig = plots.heat(shades, shades.map("{:g}".format), faint=faint)
    axis = fig.axes[0]
    assert [text.get_text() for text in axis.texts] == ["0", "1", "0.5"]  # the empty cell has none
    light, dark = (patch.get_facecolor()[:3] for patch in axis.patches)
    assert sum(light) > sum(dark) and axis.texts[2].get_color() == plots.LEVEL
    assert [label.get_text() for label in axis.get_yticklabels()] == ["A", "B"]
