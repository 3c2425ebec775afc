"""Questions on a built page: no answer before a guess, the answer after it, by keyboard too."""

import json

import pytest
from bs4 import BeautifulSoup

from companion.publishing.pages import site
from tests.book import small_book
from tests.browser import needs_browser, opened

pytestmark = pytest.mark.slow

QUESTIONS = """\
```{predict} quiz-which
:where: {experiment: E, quantity: accuracy}
:largest: [{model: a}, {model: b}]
:unit: "%"

Which net is *right* more often, with $x^2$?

- net A
- net B
- no clear difference
```

```{predict} quiz-value
:value: {experiment: E, model: b}
:range: [0, 100]
:step: 1
:unit: "%"

How often is net B right?
```

```{predict} quiz-later
:where: {experiment: E, quantity: accuracy}
:largest: [{model: a}, {model: never run}]

Which one is better?

- net A
- the other
- no clear difference
```
"""
ROWS = [
    {"experiment": "E", "quantity": "accuracy", "value": sum(v) / 3, "values": v, "n": 3, "model": model}
    for model, v in {"a": [20, 21, 22], "b": [70, 71.5, 72]}.items()
]
NUMBER = "71.2 %"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A book of two chapters that ask the same, built without a warning; one was run, one was not."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "runs/smoke/run").mkdir(parents=True)
    (root / "runs/smoke/run/results.json").write_text(json.dumps({"rows": ROWS}))
    chapters = {"run": QUESTIONS, "not_run": QUESTIONS.replace("quiz", "other")}
    small_book.build(root, chapters, ran="run", output="42")
    return root


def html(checkout, name):
    text = (checkout / f"_build/html/{name}.html").read_text("utf-8")
    return BeautifulSoup(text, "html.parser")


def test_without_a_script_the_question_is_there_and_a_fold_has_the_answer(checkout):
    section = html(checkout, "notebooks/run").find(id="quiz-which")
    assert section.legend.get_text(" ", strip=True).startswith("Which net is right more often")
    assert section.legend.em and section.legend.select_one(".math")
    labels = [label.get_text(strip=True) for label in section.select("label.choice:has(input[type=radio])")]
    assert labels == ["net A", "net B", "no clear difference"]
    fold = section.find("details")
    assert not fold.has_attr("open") and fold.summary and NUMBER in fold.get_text()
    assert "Profile smoke" in fold.get_text() and len(fold.select("svg")) == 2
    assert (
        site._reference_problems(checkout / "_build/html", checkout / "_build/html/notebooks/run.html") == []
    )


def test_a_question_without_its_rows_waits_in_a_line_and_offers_nothing_to_choose(checkout):
    for page, name in (("run", "quiz-later"), ("not_run", "other-which"), ("not_run", "other-value")):
        section = html(checkout, f"notebooks/{page}").find(id=name)
        assert f"companion run {page} --profile smoke" in section.select_one("p.wait").get_text()
        assert not section.find("input") and not section.find("details") and "data-told" not in section.attrs


def test_only_pages_that_ask_load_the_script(checkout):
    loads = {
        name: bool(html(checkout, name).find("script", src=lambda s: s and "predict.js" in s))
        for name in ("notebooks/run", "book/index")
    }
    assert loads == {"notebooks/run": True, "book/index": False}


@pytest.fixture
def page(checkout, tmp_path):
    with opened((checkout / "_build/html/notebooks/run.html").as_uri(), tmp_path) as found:
        found.wait("document.querySelectorAll('.cmp-predict button.commit').length === 2")
        yield found


def of(name, script):
    return f"(section => {script})(document.getElementById('{name}'))"


TEXT = "section.textContent.replace(/\\s+/g, ' ')"
STATUS = "section.querySelector('[role=status]').textContent"


@needs_browser
def test_before_the_guess_the_answer_is_neither_shown_nor_announced(page):
    text = page.value(of("quiz-which", TEXT))
    assert "net A" in text and NUMBER not in text and "interval" not in text
    assert page.value(of("quiz-which", STATUS)) == ""
    assert page.value(of("quiz-which", "section.querySelector('details, svg') === null"))
    page.value(of("quiz-which", "section.querySelector('button').click()"))
    assert page.value(of("quiz-which", STATUS)) == "Choose one first."
    assert NUMBER not in page.value(of("quiz-which", TEXT))


@needs_browser
def test_by_keyboard_alone(page):
    page.value(of("quiz-which", "section.querySelector('input').focus()"))
    page.press("ArrowDown")  # the next choice, which the browser selects
    assert page.value(of("quiz-which", "section.querySelector('input:checked').value")) == "1"
    page.press("Enter")
    status = page.wait(of("quiz-which", STATUS))
    assert status.startswith("Your guess agrees.") and f"net B: {NUMBER}" in status
    assert page.value("document.activeElement.className") == "commit"  # focus is kept
    assert page.value(of("quiz-which", "section.querySelector('.yours').textContent")).startswith("net B")
    assert page.value(of("quiz-which", "section.querySelector('.right .number').textContent")) == NUMBER
    assert page.value(of("quiz-value", STATUS)) == ""  # the other question is not answered with it


@needs_browser
def test_a_wrong_guess_is_told_so(page):
    page.value(of("quiz-which", "section.querySelector('input').click()"))
    page.value(of("quiz-which", "section.querySelector('button').click()"))
    assert page.value(of("quiz-which", STATUS)).startswith("Not in this run: your choice, net A, has 21.0 %.")


@needs_browser
def test_a_slider_is_compared_with_the_mean_and_its_interval(page):
    move = "const range = section.querySelector('input'); range.value = VALUE;"
    guess = (
        f"range.dispatchEvent(new Event('input')); section.querySelector('.commit').click(); return {STATUS};"
    )
    told = {}
    for value in (50, 71, 80):
        script = f"{{ {move} {guess} }}".replace("VALUE", str(value))
        told[value] = page.value(of("quiz-value", script))
        page.value(of("quiz-value", "section.querySelector('.again').click()"))
    assert told[50].startswith("You guessed 50 %: 21.2 points below the run.This run measures 71.2 %")
    assert told[71].startswith("You guessed 71 %: inside the 95 % interval.")
    assert told[80].startswith("You guessed 80 %: 8.8 points above the run.")


@needs_browser
def test_the_guess_outlives_a_reload_in_this_tab_alone_and_can_be_made_again(page):
    page.value(of("quiz-which", "section.querySelectorAll('input')[2].click()"))
    page.value(of("quiz-which", "section.querySelector('button').click()"))
    page.value("window.before = true; location.reload()")
    page.wait(
        "!window.before && document.readyState === 'complete' && document.querySelector('.open') !== null"
    )
    assert page.value(of("quiz-which", STATUS)).startswith("The run can tell: it is net B.")
    kept = "Object.keys({}Storage).filter(key => key.startsWith('predict')).length"
    assert page.value(kept.format("local")) == 0 and page.value(kept.format("session")) == 1
    page.value(of("quiz-which", "section.querySelector('.again').click()"))
    assert NUMBER not in page.value(of("quiz-which", TEXT)) and page.value(kept.format("session")) == 0
    assert page.value(of("quiz-which", "section.querySelector('input:checked') === null"))
