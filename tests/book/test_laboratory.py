"""The laboratory computes what the package computes, says what is wrong, and never leaves an error behind."""

import copy
import json
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from companion import attacks, data, experiment, models, saliency, training
from companion.attacks import PROTOCOLS
from companion.publishing.explorers import laboratory
from companion.training import Recipe, part
from tests.browser import evaluated, needs_browser, opened

BOOK = Path(__file__).parents[2] / "book"
ENGINE = (BOOK / "_static/laboratory-engine.js").read_text("utf-8")
SIZE = [1, 28, 28]
pytestmark = pytest.mark.slow


def rounded(net):
    """The net with its weights as half precision keeps them, in double precision."""
    return copy.deepcopy(net).half().double()


@pytest.fixture(scope="module")
def trained():
    """Two nets, images and labels: 50 test images of mnist_small."""
    images = data.load("mnist_small", n_train=600, n_test=50)
    recipe = {"data": part("mnist_small", n_train=600), "model": part("compact_cnn"), "epochs": 3}
    robust = part("adversarial", norm="l2", eps=1.5, steps=3)
    settings = {"standard": {}, "robust": {"inputs": robust}}
    optimiser = part("SGD", lr=0.05, momentum=0.9)
    recipes = {name: Recipe(**recipe, optimiser=optimiser, **s) for name, s in settings.items()}
    nets = {name: training.train(r, images)[0].eval() for name, r in recipes.items()}
    return nets, images.x_test, images.y_test


def texts(net):
    return [laboratory._texts(layer) for layer in models.plain_layers(net)]


def engine(script, folder, **values):
    """What the script, an expression of `given` and the engine, is in the browser."""
    body = f"<script>{ENGINE}\nconst given = {json.dumps(values)}, E = laboratoryEngine;"
    body += "const vector = v => Float32Array.from(v), list = v => [...v];</script>"
    found, console = evaluated(body, f"result = {script};", folder)
    assert console == []
    return found


def flat(x):
    return x.flatten(1).tolist()


def relative(found, expected):
    found, expected = torch.tensor(found, dtype=torch.float64).flatten(1), expected.double().flatten(1)
    return ((found - expected).norm(dim=1) / expected.norm(dim=1)).max().item()


SALIENCY = """given.x.map((x, i) => {
  const net = E.load(given.layers, [1, 28, 28]), at = vector(x), label = given.y[i];
  const { logits, gradient } = E.differentiate(net, at, label), smooth = E.smoothgrad(net, at, label, 0.15);
  given.noise.forEach(noise => smooth.next(noise[i]));
  return { logits: list(logits), gradient: list(gradient), smooth: list(smooth.mean()) };
})"""


@needs_browser
@pytest.mark.parametrize("name", ["standard", "robust"])
def test_logits_gradients_and_smoothgrad_are_torchs(trained, tmp_path, name):
    nets, x, y = trained
    noise = torch.randn(5, *x.shape, generator=torch.Generator().manual_seed(0))
    found = engine(
        SALIENCY, tmp_path, layers=texts(nets[name]), x=flat(x), y=y.tolist(), noise=[flat(n) for n in noise]
    )
    net, wide = rounded(nets[name]), x.double()
    gradients = [saliency.input_gradient(net, wide, y)]
    noisy = [net_gradient(net, wide + 0.15 * n.double(), y) for n in noise]
    expected = {"logits": net(wide).detach(), "gradient": gradients[0], "smooth": torch.stack(noisy).mean(0)}
    for what, value in expected.items():
        assert relative([f[what] for f in found], value) < 1e-3, what


def net_gradient(net, x, y):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(net(x).gather(1, y[:, None]).sum(), x)[0]


@needs_browser
@pytest.mark.parametrize("of", ["centred", "lead", "cross_entropy"])
def test_other_gradients(trained, tmp_path, of):
    nets, x, y = trained
    script = """given.x.map((x, i) => {
      const net = E.load(given.layers, [1, 28, 28]);
      return list(E.differentiate(net, vector(x), given.y[i], given.of).gradient);
    })"""
    found = engine(script, tmp_path, layers=texts(nets["robust"]), x=flat(x), y=y.tolist(), of=of)
    net, point = rounded(nets["robust"]), x.double().requires_grad_()
    logits = net(point)
    chosen = logits.gather(1, y[:, None]).squeeze(1)
    value = {
        "centred": chosen - logits.mean(1),
        "lead": -attacks.OBJECTIVES["margin"](logits, y),
        "cross_entropy": attacks.OBJECTIVES["cross_entropy"](logits, y),
    }[of]
    assert relative(found, torch.autograd.grad(value.sum(), point)[0]) < 1e-3


@needs_browser
def test_every_kind_of_layer(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(
        models.Normalize([0.25], [0.5]),
        nn.Conv2d(1, 3, 5, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 6, 3), nn.Dropout(0.5), nn.Flatten()),
        nn.Linear(96, 7),
    ).eval()
    x = torch.rand(4, *SIZE)
    found = engine(
        """given.x.map(x => {
          const { logits, gradient } = E.differentiate(E.load(given.layers, [1, 28, 28]), vector(x), 2);
          return [list(logits), list(gradient)];
        })""",
        tmp_path,
        layers=texts(net),
        x=flat(x),
    )
    net, y = rounded(net), torch.full((4,), 2)
    assert relative([f[0] for f in found], net(x.double()).detach()) < 1e-5
    assert relative([f[1] for f in found], net_gradient(net, x.double(), y)) < 1e-5


@needs_browser
def test_the_same_sum_on_every_logit_shows_in_the_gradient_of_one_alone(trained, tmp_path):
    nets, x, y = trained
    script = """[1, 10].map(factor => {
      const net = E.altered(E.load(given.layers, [1, 28, 28]), factor, vector(given.w)), at = vector(given.x);
      return ['logit', 'centred'].map(of => list(E.differentiate(net, at, given.y, of).gradient));
    })"""
    w = torch.rand(784, generator=torch.Generator().manual_seed(3))
    found = torch.tensor(
        engine(script, tmp_path, layers=texts(nets["robust"]), x=flat(x)[0], y=y[0].item(), w=w.tolist())
    )
    plain = saliency.input_gradient(nets["robust"], x[:1], y[:1]).flatten()
    for row, factor in zip(found, (1, 10), strict=True):
        torch.testing.assert_close(row[0], factor * plain + w, rtol=1e-2, atol=2e-2 * factor)
    torch.testing.assert_close(10 * found[0, 1], found[1, 1], rtol=1e-3, atol=1e-4)


STEPS = """given.x.map((x, i) => {
  const { norm, eps, step, loss, protocol, k } = given;
  const attack = { norm, eps, steps: 40, step, loss, protocol };
  const net = E.load(given.layers, [1, 28, 28]);
  return list(E.step(net, vector(x), vector(given.from[i]), given.y[i], attack, k).next);
})"""


@needs_browser
@pytest.mark.parametrize("protocol", ["strong", "ir_paper"])
@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
@pytest.mark.parametrize(("norm", "eps"), [("l2", 1.5), ("linf", 0.1)])
def test_a_step_of_pgd_is_the_packages(trained, tmp_path, norm, eps, loss, protocol):
    nets, x, y = trained
    generator = torch.Generator().manual_seed(1)
    start = attacks.pgd(
        nets["standard"],
        x,
        y,
        norm=norm,
        eps=eps,
        steps=1,
        step_size=eps / 10,
        protocol=PROTOCOLS[protocol],
        generator=generator,
    )
    found = engine(
        STEPS,
        tmp_path,
        layers=texts(nets["standard"]),
        **{"x": flat(x), "from": flat(start), "y": y.tolist(), "norm": norm, "eps": eps, "loss": loss},
        protocol=protocol,
        step=None if protocol == "strong" else eps / 3,
        k=30,
    )
    size = 2 * eps * (1 - 30 / 40) if protocol == "strong" else eps / 3
    net, wide = rounded(nets["standard"]), {"x": x.double(), "y": y, "start": start.double()}
    expected = attacks.pgd(
        net, **wide, norm=norm, eps=eps, steps=1, step_size=size, loss=loss, protocol=PROTOCOLS[protocol]
    )
    difference = torch.tensor(found).view_as(x) - expected
    if norm == "linf":  # the sign of a gradient that is nearly zero is nobody's
        agrees = (difference.abs() < 1e-4).double().flatten(1).mean(1)
        assert agrees.min() > 0.99
    else:
        assert (difference.flatten(1).norm(dim=1) / (expected - x).flatten(1).norm(dim=1)).max() < 1e-3


@needs_browser
@pytest.mark.parametrize(("norm", "eps"), [("l2", 1.5), ("linf", 0.1)])
def test_forty_steps_end_with_the_packages_verdicts(trained, tmp_path, norm, eps):
    nets, x, y = trained
    script = """given.x.map((x, i) => {
      const net = E.load(given.layers, [1, 28, 28]), at = vector(x);
      const { norm, eps } = given, steps = 40;
      const attack = { norm, eps, steps, step: null, loss: 'margin', protocol: 'strong' };
      let current = vector(given.start[i]);
      for (let k = 0; k < 40; k++) current = E.step(net, at, current, given.y[i], attack, k).next;
      return E.lead(net.forward(current), given.y[i]);
    })"""
    start = (x + attacks.norms.random_start(x, norm, eps, "ball", torch.Generator().manual_seed(2))).clamp(
        0, 1
    )
    settings = {"norm": norm, "eps": eps, "steps": 40, "loss": "margin", "start": start}
    for name, net in nets.items():
        found = engine(
            script,
            tmp_path,
            layers=texts(net),
            x=flat(x),
            y=y.tolist(),
            start=flat(start),
            norm=norm,
            eps=eps,
        )
        expected = -attacks.OBJECTIVES["margin"](net(attacks.pgd(net, x, y, **settings)), y).detach()
        found = torch.tensor(found)
        assert ((found > 0) == (expected > 0)).sum() >= 48, name
        assert (found - expected).abs().median() < 0.02 * expected.abs().median(), name


@needs_browser
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_smallest_radius_is_that_of_a_picture_the_net_misclassifies(trained, tmp_path, norm):
    nets, x, y = trained
    script = """given.x.map((x, i) => {
      const settings = { norm: given.norm, steps: 20, largest: 8, seed: 0 };
      const search = E.smallest(E.load(given.layers, [1, 28, 28]), vector(x), given.y[i], settings);
      let step;
      do step = search.next(); while (!step.done);
      return { ...step.value, image: list(step.value.image) };
    })"""
    chosen = slice(0, 12)
    found = engine(
        script, tmp_path, layers=texts(nets["robust"]), x=flat(x[chosen]), y=y[chosen].tolist(), norm=norm
    )
    net = rounded(nets["robust"])
    for each, image, label in zip(found, x[chosen], y[chosen], strict=True):
        reached = torch.tensor(each["image"], dtype=torch.float64).view(1, *SIZE)
        delta = (reached - image.double()).flatten()
        size = delta.norm().item() if norm == "l2" else delta.abs().max().item()
        if net(image.double()[None]).argmax() != label:
            assert each["high"] == 0
            continue
        assert size == pytest.approx(each["high"], rel=1e-4)
        assert 0.98 * each["high"] <= each["low"] <= each["high"]
        assert net(reached).argmax() != label


# ---- what a run leaves -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm2d(3), nn.AvgPool2d(2), nn.Conv2d(1, 1, (3, 2)), nn.Conv2d(2, 2, 3, groups=2)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_without_a_plain_form_is_named(layer):
    with pytest.raises(ValueError, match=type(layer).__name__):
        models.plain_layers(nn.Sequential(layer))


def test_weights_that_half_precision_cannot_hold_are_refused():
    layer = nn.Linear(2, 2)
    layer.weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"1e\+06"):
        models.plain_layers(nn.Sequential(layer))


def plain(net, side=28, labels=range(10)):
    pictures = bytes(range(256)) * 4
    count = len(labels)
    return {
        "nets": {"one": net, "two": net},
        "shape": [1, side, side],
        "pictures": (pictures * count)[: count * side * side],
        "labels": list(labels),
    }


COLOUR = {"one": "#666666", "two": "#0072B2"}.get


def test_a_run_says_what_it_kept_or_why_not(tmp_path):
    net = models.plain_layers(models.compact_cnn())
    kept = laboratory.keep(tmp_path, plain(net), COLOUR, about="a <test>")
    assert "one, two" in kept.html and (tmp_path / laboratory.FILE).stat().st_size < 1_000_000
    for refused, why in ((plain(net, side=8), r"\(1, 8, 8\)"), (plain(net * 8), "at most 4")):
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        assert re.search(why, laboratory.keep(other, refused, COLOUR, about="").html)
        assert not any(other.iterdir())


def test_portable_takes_the_first_images_of_each_class(monkeypatch):
    images = data.load("digits", n_train=10, n_test=60)
    net = models.digits_cnn()
    monkeypatch.setattr(experiment.portable.__globals__["store"], "get", lambda recipe, device: net)
    found = experiment.portable({"net": None}, images, each=2)
    assert found["labels"] == sorted(found["labels"]) and set(found["labels"]) == set(images.y_test.tolist())
    first = images.x_test[(images.y_test == 0).nonzero()[0, 0]]
    assert found["pictures"][:64] == bytes(first.mul(255).round().byte().flatten().tolist())
    assert found["shape"] == [1, 8, 8] and found["nets"]["net"] == models.plain_layers(net)


def test_without_a_run_the_page_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_ROOT", str(tmp_path))
    assert "companion run interpretation_regularization" in laboratory.page("smoke", "../_static")
    folder = tmp_path / "runs/quick/interpretation_regularization"
    folder.mkdir(parents=True)
    (folder / laboratory.FILE).write_text("")
    assert laboratory.nets_file("smoke") == folder / laboratory.FILE
    assert "cmp-lab" in laboratory.page("smoke", "../_static")


# ---- the page ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(trained, tmp_path_factory):
    """The laboratory as a file beside its scripts, with the two nets."""
    nets, x, y = trained
    folder = tmp_path_factory.mktemp("laboratory")
    for name in ("laboratory-engine.js", "laboratory.js", "laboratory.css"):
        (folder / name).write_bytes((BOOK / "_static" / name).read_bytes())
    content = {
        "nets": {"one": models.plain_layers(nets["standard"]), "two": models.plain_layers(nets["robust"])},
        "shape": SIZE,
        "pictures": bytes(x.mul(255).round().byte().flatten().tolist()),
        "labels": y.tolist(),
    }
    laboratory.keep(folder, content, COLOUR, about="two nets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laboratory, "nets_file", lambda profile: folder / laboratory.FILE)
        body = laboratory.page("quick", ".")
    explained = '<section><h3 id="lab-same">same</h3><p>Every logit.</p></section>'
    catch = """<script>const problems = [];
      addEventListener('error', e => problems.push(e.message));
      addEventListener('unhandledrejection', e => problems.push(String(e.reason)));
      console.error = (...all) => problems.push(all.join(' '));</script>"""
    extension = (BOOK / "_ext" / "executed_copies.py").read_text("utf-8")
    policy = re.search(r'^POLICY = \(?\s*"(.*)"$', extension, re.MULTILINE)[
        1
    ]  # as every page of the book has it
    catch = f'<meta http-equiv="Content-Security-Policy" content="{policy}">{catch}'
    head = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
    (folder / "page.html").write_text(f"{head}{catch}<body>{body}{explained}", "utf-8")
    return SimpleNamespace(folder=folder, address=(folder / "page.html").as_uri())


SETTLED = "document.querySelector('.cmp-lab')?.ariaBusy === 'false'"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened("about:blank", tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def at(site, browser):
    """Open the laboratory with a fragment and give the page, once it has computed everything."""

    def go(fragment=""):
        browser.call("Page.navigate", url="about:blank")
        browser.call("Page.navigate", url=site.address + fragment)
        browser.wait(SETTLED)
        return browser

    yield go
    assert browser.value("problems") == []


def text(page, query):
    return page.value(f"document.querySelector({query!r}).textContent")


def click(page, query):
    page.value(f"void document.querySelector({query!r}).click()")
    page.wait(SETTLED)


def draw(page, points, kind="mouse"):
    """A stroke over the canvas, at places of 0 to 1."""
    page.value("document.querySelector('.paper').scrollIntoView()")
    box = page.value(
        "(({x, y, width}) => [x, y, width])(document.querySelector('.paper canvas').getBoundingClientRect())"
    )
    places = [(box[0] + u * box[2], box[1] + v * box[2]) for u, v in points]
    if kind == "touch":
        for number, (x, y) in enumerate(places):
            name = "touchStart" if number == 0 else "touchMove"
            page.call("Input.dispatchTouchEvent", type=name, touchPoints=[{"x": x, "y": y}])
        page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    else:
        for number, (x, y) in enumerate(places):
            name = "mousePressed" if number == 0 else "mouseMoved"
            page.call("Input.dispatchMouseEvent", type=name, x=x, y=y, button="left", buttons=1, clickCount=1)
        x, y = places[-1]
        page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)
    page.wait(SETTLED)


INK = """(() => { const c = document.querySelector('.paper canvas');
  return [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0); })()"""
DECISIONS = "[...document.querySelectorAll('.cmp-lab header output')].map(o => o.textContent)"


@needs_browser
def test_the_first_picture_is_answered_by_every_net_and_attacked(at):
    page = at()
    assert page.value("document.querySelectorAll('.scores article').length") == 2
    answers = page.value(DECISIONS)
    assert all(re.match(r"\d >?[\d.]+ %", a) for a in answers[:2])
    assert all(re.match(r"still|\d → \d|wrong before", a) for a in answers[2:])
    assert page.value("document.querySelectorAll('.chart > svg .run').length") == 2


@needs_browser
@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_a_stroke_changes_the_answers_and_a_link_opens_the_same_situation(at, kind):
    page = at("#sigma=0.2&norm=linf")
    click(page, "[data-do=clear]")
    assert "empty" in text(page, ".note")
    draw(page, [(0.3, 0.2), (0.6, 0.2), (0.45, 0.8)], kind)
    ink, answers = page.value(INK), page.value(DECISIONS)
    assert max(ink) == 255 and 30 < sum(v > 0 for v in ink) < 250
    assert "empty" not in text(page, ".note")
    fragment = page.value("location.hash")
    assert "drawn=" in fragment and "sigma=0.2" in fragment and "norm=linf" in fragment
    again = at(fragment)
    assert again.value(INK) == ink and again.value(DECISIONS) == answers


@needs_browser
def test_the_keyboard_draws_and_erases(at):
    page = at()
    click(page, "[data-do=clear]")
    page.value("document.querySelector('.paper canvas').focus()")
    page.press("ArrowRight")
    page.call("Input.dispatchKeyEvent", type="keyDown", key=" ", code="Space", text=" ")
    page.wait(SETTLED)
    ink = page.value(INK)
    assert ink[14 * 28 + 15] == 255 and sum(v > 0 for v in ink) < 15
    page.call("Input.dispatchKeyEvent", type="keyDown", key="x", code="KeyX", text="x")
    page.wait(SETTLED)
    assert max(page.value(INK)) < 255


@needs_browser
@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("#eps=NaN", "eps=NaN; expected a number from 0 to 4"),
        ("#norm=linf&eps=3", "eps=3; expected a number from 0 to 0.5"),
        ("#eps=", "eps=nothing"),
        ("#eps=0", "Radius 0 allows no change"),
        ("#sigma=0", "Without noise"),
        ("#norm=l3", "norm=l3; expected one of l2, linf"),
        ("#steps=2.5", "steps=2.5; expected a whole number from 1 to 100"),
        ("#label=10", "label=10; expected a whole number from 0 to 9"),
        ("#picture=999", "picture=999; expected a whole number from 0 to 49"),
        ("#drawn=!!", "expected a drawing of 784 pixels"),
        ("#drawn=AAA", "expected a drawing of 784 pixels"),
        ("#constructor=1", "names “constructor”"),
        ("#norm=toString", "norm=toString; expected"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(at, fragment, said):
    page = at(fragment)
    assert said in text(page, ".note")
    assert len(page.value(DECISIONS)) == 4


@needs_browser
def test_a_white_picture_gets_a_sentence(at):
    page = at()
    white = page.value("btoa(String.fromCharCode(...new Uint8Array(784).fill(255)))")
    page = at(f"#drawn={white.replace('/', '_')}")
    assert "white all over" in text(page, ".note")


@needs_browser
def test_a_preset_is_a_link_and_says_what_it_shows(at):
    page = at("#lab-same")
    assert "Every logit." in text(page, ".note")
    assert page.value("document.querySelector('[name=same]').value") == "picture"
    assert not page.value("document.querySelector('.earlier').hidden")
    click(page, "[data-preset='']")
    assert text(page, ".note") == "" and page.value("document.querySelector('[name=same]').value") == "none"


@needs_browser
def test_the_race_ends_with_a_radius_for_every_net(at):
    page = at()
    click(page, "[data-do=race]")
    radii = page.value("[...document.querySelectorAll('.tracks output')].map(o => o.textContent)")
    assert all(re.fullmatch(r"\d\.\d{3}|wrong already", r) for r in radii)


ACTIONS = """(() => {
  const shown = e => !e.disabled && !e.hidden;
  const all = query => [...document.querySelectorAll('.cmp-lab :is(' + query + ')')].filter(shown);
  const pick = list => list[Math.floor(Math.random() * list.length)], kind = Math.random();
  if (kind < 0.5) { const b = pick(all('button')); b.click(); return b.textContent || b.ariaLabel; }
  const input = pick(all('select, input[name]'));
  if (input.type === 'range') input.value = pick([input.min, input.max, 0.3, 1]);
  else if (input.type === 'radio') input.checked = true;
  else input.value = pick([...input.options]).value;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  return input.name + '=' + input.value;
})()"""


@needs_browser
def test_a_hundred_random_actions_leave_no_error(at):
    page, chance = at(), random.Random(0)
    for number in range(100):
        if number % 5 == 0:
            draw(
                page,
                [(chance.random(), chance.random()) for _ in range(4)],
                chance.choice(["mouse", "touch"]),
            )
        else:
            page.value(ACTIONS)
    page.wait(SETTLED)
    assert page.value("problems") == [] and page.value(DECISIONS)


def test_every_preset_has_its_place_on_the_page():
    script = (BOOK / "_static/laboratory.js").read_text("utf-8")
    written = (BOOK / "laboratory.md").read_text("utf-8")
    presets = re.findall(r"^    '(lab-\w+)': \['", script, re.MULTILINE)
    assert presets == re.findall(r"^\((lab-\w+)\)=$", written, re.MULTILINE) and len(presets) == 6
