"""The explorer in the plane: the page computes what the package computes, and the picture follows x."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn

from companion import metrics
from companion.publishing.explorers import planar
from companion.publishing.pages.site import SCRIPT_LOAD

SCRIPT = Path(planar.__file__).with_name("planar.js")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
needs_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")


def random_net(seed, units=5, classes=3):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.rand(units, 3, generator=draw, dtype=torch.float64) * 2 - 1
    out = torch.rand(classes, units + 1, generator=draw, dtype=torch.float64) * 2 - 1
    return hidden, out


def as_module(hidden, out):
    net = nn.Sequential(nn.Linear(2, len(hidden)), nn.ReLU(), nn.Linear(len(hidden), len(out))).double()
    with torch.no_grad():
        for layer, rows in ((net[0], hidden), (net[2], out)):
            layer.weight.copy_(rows[:, :-1])
            layer.bias.copy_(rows[:, -1])
    return net


def in_the_page(nets, points):
    """What planar.js measures: a dictionary for every net and point."""
    plain = [{"hidden": hidden.tolist(), "out": out.tolist()} for hidden, out in nets]
    program = (
        f"const {{ measure }} = require({json.dumps(str(SCRIPT))});"
        f"const points = {json.dumps(points.tolist())};"
        f"const found = {json.dumps(plain)}.map(net => points.map(x => measure(net, x)));"
        "console.log(JSON.stringify(found));"
    )
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
@needs_node
def test_the_page_measures_what_the_package_measures():
    nets = [random_net(seed, classes=2 + seed % 2) for seed in range(40)]
    points = torch.rand(10, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bounds = ("bound_2a", "bound_2b", "bound_3_printed", "bound_3")
    same = ("rho_tilde", "alpha", "alpha_plus", "rival", "xi", "gamma", "g", "g_plus", *bounds)
    names = {"label": "predicted"} | {name: name for name in same}
    compared = 0
    for net, found in zip(nets, in_the_page(nets, points), strict=True):
        terms = metrics.alignment_terms(as_module(*net), points)
        for i, of_point in enumerate(found):
            if of_point["rival"] < 0:  # no class has another gradient: JSON knows no infinity
                assert terms.rho_tilde[i].isinf()
                continue
            for name, ours in names.items():
                theirs = torch.tensor(of_point[name], dtype=torch.float64)
                torch.testing.assert_close(getattr(terms, ours)[i].double(), theirs, rtol=1e-9, atol=1e-9)
            compared += 1
    assert compared > 300


@needs_node
def test_rho_is_the_distance_to_the_nearest_point_of_another_class():
    nets = [random_net(100 + seed) for seed in range(20)]
    points = torch.rand(5, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    turn = torch.linspace(0, 2 * torch.pi, 2000, dtype=torch.float64)
    circle = torch.stack([turn.cos(), turn.sin()], 1)
    reached = 0
    for net, found in zip(nets, in_the_page(nets, points), strict=True):
        module = as_module(*net)
        for x, of_point in zip(points, found, strict=True):
            if of_point["rho"] is None:  # one class everywhere near
                assert (module(x + 50 * circle).argmax(1) == of_point["label"]).all()
                continue
            for share in (0.3, 0.7, 0.999999):
                assert (module(x + share * of_point["rho"] * circle).argmax(1) == of_point["label"]).all()
            direction = torch.tensor(of_point["rho_at"], dtype=torch.float64) - x
            assert direction.norm() == pytest.approx(of_point["rho"])
            beyond = module((x + (1 + 1e-6) * direction)[None]).argmax(1)
            reached += int(beyond != of_point["label"])
    assert reached > 80


@needs_node
def test_the_counter_example_violates_the_printed_theorem_3():
    hidden = torch.tensor([[1, 0, 0.75], [1, -3, 0.875]], dtype=torch.float64)
    out = torch.tensor([[1, 1, -0.5], [0, 0, 0]], dtype=torch.float64)
    ((found,),) = in_the_page([(hidden, out)], torch.tensor([[0.5, 0.5]], dtype=torch.float64))
    assert found["rho"] == found["rho_tilde"] == 0.75
    assert found["bound_3_printed"] == 0 and found["bound_3"] > 0.75


def shown(*nets):
    return planar.explorer(nets, caption="In the <b>plane</b>")._repr_html_()


NET = planar.Net(
    "first </script>", "Try it.", [(1, 0, 0.75), (1, -3, 0.875)], [(1, 1, -0.5), (0, 0, 0)], (0.5, 0.25)
)
OTHER = planar.Net("second", "And this.", [(1.0, 1.0, -1.0)], [(1, 0), (-1, 0)], (0.75, 0.75), -1, 2)


def test_the_weights_travel_in_the_page_and_nothing_is_loaded():
    soup = BeautifulSoup(shown(NET, OTHER), "html.parser")
    data, script = soup.find_all("script")
    assert [net["name"] for net in json.loads(data.string)] == ["first </script>", "second"]
    assert json.loads(data.string)[0]["hidden"] == [[1, 0, 0.75], [1, -3, 0.875]]
    assert not SCRIPT_LOAD.search(script.string) and "http" not in script.string
    assert soup.select_one("figcaption").text == "In the plane"
    assert all(control.find_parent("label") for control in soup.select("input"))
    assert soup.svg.has_attr("hidden") and not soup.select_one(".still").has_attr("hidden")


def test_the_frames_explorer_on_the_same_page_leaves_it_alone():
    """It sets up every .cmp-explorer that is not live yet."""
    assert BeautifulSoup(shown(NET), "html.parser").figure.has_attr("data-live")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": [(1, 0)]}, "w1, w2, b"),
        ({"hidden": [(0, 0, 1)] * 2}, "not 0"),
        ({"out": [(1, 1, 0)]}, "2 or 3 classes"),
        ({"out": [(1, 0), (0, 0)]}, "a weight for each unit"),
        ({"hidden": [(1, 0, float("nan")), (1, 1, 0)]}, "finite"),
        ({"start": (0.5, 1.5)}, "unit square"),
    ],
)
def test_a_net_that_cannot_be_drawn_is_refused(change, words):
    settings = {"name": "n", "note": "", "hidden": NET.hidden, "out": NET.out, "start": (0.5, 0.5)}
    with pytest.raises(ValueError, match=words):
        planar.Net(**(settings | change))


@pytest.mark.slow
@needs_browser
def test_in_a_browser_the_sliders_move_x_and_the_nets_change(tmp_path):
    page = tmp_path / "page.html"
    moves = """
    const read = () => [...document.querySelectorAll('dd')].map(dd => dd.textContent);
    const out = [read()];
    const slider = document.querySelector('[type=range]');
    slider.value = 0.75; slider.dispatchEvent(new Event('input', { bubbles: true })); out.push(read());
    const second = document.querySelectorAll('[type=radio]')[1];
    second.checked = true; second.dispatchEvent(new Event('input', { bubbles: true })); out.push(read());
    document.body.innerHTML = '<pre>' + JSON.stringify(out) + '</pre>';
    """
    page.write_text(f"<meta charset=utf-8><body>{shown(NET, OTHER)}<script>{moves}</script>", "utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    first, moved, changed = json.loads(BeautifulSoup(done.stdout, "html.parser").pre.text)
    inside = torch.tensor([[0.5, 0.25], [0.75, 0.25]], dtype=torch.float64)
    terms = metrics.alignment_terms(
        as_module(*(torch.tensor(v, dtype=torch.float64) for v in (NET.hidden, NET.out))), inside
    )
    assert [first[2], moved[2]] == [f"{v:.3f}" for v in terms.rho_tilde.tolist()]
    assert first[4] == f"{terms.alpha[0]:.3f}" and first[0] == "1"
    assert changed[1] == changed[2] == f"{0.5 / 2**0.5:.3f}"  # from (0.75, 0.75) to the line x1 + x2 = 1
