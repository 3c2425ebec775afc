"""A deck shows an executed chapter, figure by figure, with notes, and needs nothing but its folder."""

import re
from html import escape

import nbformat
import pytest
from bs4 import BeautifulSoup

from companion import plots
from companion.publishing import cli, paths
from companion.publishing.pages import errata, tables
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks
from companion.publishing.workshop import slides
from tests.browser import needs_browser, opened

TITLE = """\
# A small chapter

*A. Author, “A paper”* {cite:p}`author2020`.

Does $x$ grow ({doc}`boundary_tilting`)?"""
ASKED = """\
## The question in one picture

```{predict} t-guess
:value: {experiment: T-F1, quantity: size}
:range: [0, 1]

Which of them *grows*?

- the first
- none
```"""
IDEA = """\
## The idea

**The loss.** One term, {eq}`t-loss`:

$$
\\mathcal L = x^2 .
$$ (t-loss)

with the number

$$
n = 1 .
$$ (t-n)"""
ANCHORED = """\
(t-f1)=
### T-F1: wide and low

*Strong* protocol, 20 steps. With $\\varepsilon$ it is harder. See {ref}`the end <t-end>`.

| a | table |
|---|---|"""
FOUND = """\
<div class="cmp-found"><h3>What we found</h3><ul><li><b>It grows</b> by 3 (<a href="#t-f1">figure</a>); twice
(<a href="#t-none">table</a>).</li><li>Not run here: <a href="#t-f1">more</a>.</li></ul></div>"""
PAIR = '<figure><img class="only-light" alt="Later." src="data:,a"><img class="only-dark" src="data:,b">'
CLAIMS = tables.cards(
    ["claim", "statement", "this run"],
    [["T-C1", "It grows.", '<span class="cmp-verdict no">not reproduced</span><br><small>fell by 2</small>']],
    caption="<b>T: 1 of 1 decided.</b> More.",
).html
NUMBERS = tables.table(["net", "value"], [["A", tables.number(1.0)]], caption="T-T1").html
ERRATUM = errata.Erratum(
    id="T-E1", kind="slip", printed="`x`", right="y", evidence="It was computed.", here="Corrected."
)


def picture(width: float, height: float, alt: str, finding: str = "") -> str:
    fig, _ = plots.subplots(size=(width, height))
    return plots.show(fig, alt=alt, finding=finding).html


def panels(count: int, size: tuple[float, float], finding: str) -> str:
    return plots.show_all(
        [plots.subplots(size=size)[0] for _ in range(count)], alt="Curves.", finding=finding
    ).html


def shown(*html: str, source: str = "draw()") -> nbformat.NotebookNode:
    outputs = [nbformat.v4.new_output("display_data", {"text/html": of}) for of in html]
    return nbformat.v4.new_code_cell(source, outputs=outputs)


@pytest.fixture(scope="module")
def executed() -> nbformat.NotebookNode:
    text = nbformat.v4.new_markdown_cell
    return nbformat.v4.new_notebook(
        cells=[
            text(TITLE),
            shown('<div class="cmp-opening"><p>Profile <b>quick</b>, 300 images, 3 seeds.</p></div>'),
            text(ASKED),
            shown(
                picture(4, 3, "Digits.", "Which grows?"), FOUND + PAIR + "<figcaption>Larger.</figcaption>"
            ),
            text(IDEA),
            text(ANCHORED),
            shown(picture(9, 2, "Wide & low.", "It grows, see <a href='#x'>this</a>.") + NUMBERS),
            text("### Six panels"),
            shown(panels(6, (3, 3), "Six.")),
            text("### Four wide panels, which cannot be read together"),
            shown(panels(4, (5, 4), "Four.")),
            shown('<figure class="cmp-explorer"><svg viewBox="0 0 1 1"></svg></figure>'),
            shown(picture(3, 3, "Played."), source="playground.controls(play)"),
            shown(CLAIMS),
        ]
    )


@pytest.fixture(scope="module")
def deck(executed) -> list[slides.Slide]:
    return slides.deck(executed, [ERRATUM])


@pytest.fixture
def made(executed, tmp_path, monkeypatch):
    """The folder of decks of a run of one chapter."""
    run = tmp_path / "runs" / "quick" / "noise_modulation"
    run.mkdir(parents=True)
    nbformat.write(executed, run / "executed.ipynb")
    monkeypatch.setattr(paths, "runs_dir", lambda: tmp_path / "runs")
    count, missing = slides.make(tmp_path / "decks", "quick")
    assert count == 1 and set(missing) == {*notebooks.names()} - {"noise_modulation"}
    return tmp_path / "decks"


def test_every_figure_has_a_slide_and_explorers_and_playgrounds_have_none(deck):
    assert [slide.heading for slide in deck] == [
        "A small chapter",
        "Predict",
        "The question in one picture",
        "The question in one picture",  # the larger one
        "The loss",
        "<b>It grows</b> by 3",
        "Six panels",
        *["Four wide panels, which cannot be read together"] * 2,
        "What we found",
        "T: 1 of 1 decided",
        "Errata",
    ]
    drawn = [slide.body.count("<svg") + slide.body.count("<img") for slide in deck]
    assert drawn == [0, 0, 1, 1, 0, 1, 6, 2, 2, 0, 0, 0]
    everything = "".join(slide.body for slide in deck)
    assert "Played." not in everything and "only-dark" not in everything and NUMBERS not in everything


def test_what_was_found_is_hidden_until_the_next_key_and_links_lead_to_slides(deck):
    (told,) = [slide for slide in deck if slide.told]
    assert told.kicker == "A small chapter · T-F1: wide and low" and 'id="t-f1"' in told.body
    found = next(slide for slide in deck if slide.heading == "What we found").body
    assert '<a href="#t-f1">figure</a>' in found and "#t-none" not in found and "(table)" in found
    page = BeautifulSoup(slides.exported(deck), "html.parser")
    hidden = [of.get_text() for of in page.select(".fragment")]
    assert hidden == ["Which grows?", "Larger.", "It grows by 3"]  # a caption of the first picture may answer


def test_a_question_keeps_its_formulas_and_no_role_of_the_builder(deck):
    assert "Does $x$ grow (boundary tilting)?" in deck[0].body
    assert not any(re.search(r"\{\w+(:\w+)?\}`", slide.body + slide.heading) for slide in deck)
    assert "with the number" in deck[4].body and deck[4].body.count("$$") == 4


def test_a_question_is_asked_without_its_answer(deck):
    assert "<em>grows</em>" in deck[1].body and "<li>none</li>" in deck[1].body and "T-F1" not in deck[1].body


def test_notes_say_what_a_figure_shows_the_protocol_the_images_and_the_minutes(deck):
    page = BeautifulSoup(slides.exported(deck), "html.parser")
    notes = [aside.get_text() for aside in page.select("aside.notes")]
    assert len(notes) == len(deck) and all(re.match(r"\s*[\d.]+ minutes?\.", note) for note in notes)
    told = notes[5]
    for words in (
        "Wide & low.",
        "It grows, see this.",
        "Strong protocol, 20 steps.",
        "See the end.",
        "300 images",
    ):
        assert words in told, words
    assert not set("$|*") & set(told)
    assert notes[6].count("Curves.") == 1 and "6 of 6." in notes[6]
    assert "fell by 2" in notes[-2] and "It was computed." in notes[-1]
    timings = [int(of["data-timing"]) for of in page.select("section > section")]
    assert timings == [slide.seconds for slide in deck] and min(timings) >= 30


def test_panels_share_a_slide_only_if_they_can_be_read_there():
    square, wide = (200.0, 200.0), (360.0, 288.0)
    assert slides._parts([square] * 6, (60, 100)) == [range(0, 6)]
    assert slides._parts([wide] * 4, (60, 100)) == [range(0, 2), range(2, 4)]
    tall = (150.0, 900.0)  # alone it is no larger
    assert slides._parts([tall] * 2, (60, 100)) == [range(0, 2)]
    assert slides._layout([(400.0, 400.0)], (60, 600))[1:] == (True, 1)
    assert slides._layout([(900.0, 200.0)], (60, 100))[1:] == (False, 1)


def test_a_long_text_fills_its_pages_evenly():
    rows = [(f"<li>{i}</li>", 4.0, "") for i in range(6)]
    pages = slides._pages("chapter", "Found", rows, "<ul>{}</ul>")
    assert [page.heading for page in pages] == ["Found (1 of 2)", "Found (2 of 2)"]
    assert [page.body.count("<li>") for page in pages] == [3, 3]


def test_nothing_is_loaded_from_elsewhere(made):
    assert {path.name for path in made.glob("*.html")} == {"index.html", "noise_modulation.html"}
    for path in [*made.glob("*.html"), *made.glob("*.css"), *made.glob("reveal/**/*.css")]:
        text = path.read_text("utf-8")
        loaded = re.findall(r"url\(\s*['\"]?([^)'\"]+)", text) + re.findall(r"@import\s+['\"]([^'\"]+)", text)
        for tag in BeautifulSoup(text, "html.parser").find_all(True) if path.suffix == ".html" else []:
            loaded += [
                tag[name] for name in ("src", "href", "xlink:href", "srcset", "data") if tag.has_attr(name)
            ]
        for address in loaded:
            inside = address.startswith(("data:", "#")) or (path.parent / address).is_file()
            assert inside, f"{path.name} asks for {address}"
    assert "MIT" in (made / "reveal/README.md").read_text("utf-8")
    assert (made / "reveal/LICENSE").is_file() and (made / "mathjax/LICENSE.txt").is_file()


def test_a_folder_that_holds_something_is_left_alone(made, capsys):
    with pytest.raises(UserError, match="holds something already"):
        slides.make(made, "quick")
    with pytest.raises(SystemExit):
        cli.main(["workshop", "slides", str(made.parent / "new"), "--profile", "smoke"])
    assert "no chapter has been run" in capsys.readouterr().err and not (made.parent / "new").exists()


CUT = """(() => {
  const slide = Reveal.getCurrentSlide(), room = slide.getBoundingClientRect(), found = [];
  for (const part of slide.querySelectorAll('svg, img, .caption, h1, h2, p, table, mjx-container')) {
    const box = part.getBoundingClientRect();
    if (box.width && !part.closest('.notes, mjx-container') && (box.left < room.left - 1 ||
        box.right > room.right + 1 || box.top < room.top - 1 || box.bottom > room.bottom + 1))
      found.push(part.localName + ' ' + part.textContent.trim().slice(0, 40));
  }
  for (const picture of slide.querySelectorAll('.pictures > *'))
    if (picture.getBoundingClientRect().height < 60) found.push('too small');
  if (room.width > innerWidth + 1 || room.height > innerHeight + 1) found.push('the slide');
  return found.concat(slide.querySelectorAll('mjx-merror').length ? ['TeX'] : []);
})()"""


@needs_browser
@pytest.mark.slow
def test_nothing_is_cut_off_and_a_phone_reads_it_as_a_page(made, tmp_path):
    with opened((made / "noise_modulation.html").as_uri(), tmp_path) as page:

        def window(width: int, height: int) -> None:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
            page.call("Emulation.setDeviceMetricsOverride", **size)
            page.wait(f"innerWidth === {width}")

        page.wait("window.Reveal?.isReady() && Boolean(window.MathJax?.startup?.promise)")
        page.value("void MathJax.startup.promise.then(() => { document.typeset = true; })")
        page.wait("document.typeset")
        for width, height in ((1280, 720), (1920, 1080)):
            window(width, height)
            for number in range(page.value("Reveal.getTotalSlides()")):
                page.value(f"Reveal.slide({number}, 0, 0)")
                assert page.value(CUT) == [], f"slide {number + 1} at {width} px"
        window(400, 800)
        page.call("Page.reload")
        page.wait("document.readyState === 'complete' && Boolean(document.querySelector('.handout'))")
        assert page.value("document.documentElement.scrollWidth") <= 400
        assert page.value("document.querySelector('.notes').offsetHeight") > 20
    log = (tmp_path / "browser.log").read_text("utf-8")
    assert not re.search(r":CONSOLE.*(rror|refused|denied)", log), escape(log[-2000:])
