"""The registers of deviations: shown whole, with the profiles' values, and nothing of the spec's left out."""

from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from companion.publishing.claims import ledger
from companion.publishing.pages import fidelity
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks

TEXT = """\
paper: P
notebook: small
code: "Read: someone's code."
settings:
- {id: P-L1, setting: steps, code: 40, paper: not given, here: "`steps` below", parameters: [steps, eps]}
- {id: P-L2, setting: start, code: on, here: off, why: a < b, anchor: p-t1}
"""


@pytest.fixture
def book(checkout):
    (checkout.root / "book" / "claims" / "deviations").mkdir(parents=True)
    return checkout


def write(book, text: str = TEXT) -> None:
    (book.root / "book" / "claims" / "deviations" / "small.yaml").write_text(text, "utf-8")


def cells(html: str) -> list[list[str]]:
    rows = BeautifulSoup(html, "html.parser").select("tbody tr")
    return [[cell.get_text("|") for cell in row.select("th, td")] for row in rows]


def test_a_setting_stands_with_the_values_of_every_profile(book):
    book.notebook("small")
    book.profile("paper", "small", "steps: 40\neps: 0.1\n")
    write(book)
    shown = fidelity.table("small").html
    assert shown.startswith("<details><summary>P: 2 settings, paper and book</summary>")
    first, second = cells(shown)
    assert first == [
        "steps|P-L1",
        "40",
        "not given",
        "steps| below|steps| quick: 10; paper: 40|eps| 0.1",
    ]
    assert second == ["start|P-L2", "on", "not said", "off|Why: a < b|See the cell."]


def test_a_profile_that_a_chapter_lacks_is_left_out_of_its_table(book):
    book.notebook("small")
    book.profile("paper", "small", "steps: 40\n")
    book.profile("recorded", "other", "steps: 20\n")
    write(book)
    here = cells(fidelity.table("small").html)[0][3]
    assert here.endswith("|steps| quick: 10; paper: 40|eps| quick: 0.1; paper: 0.5")


def test_a_changed_profile_changes_the_table_and_what_a_run_depends_on(book):
    book.notebook("small")
    write(book)
    before, depends = fidelity.table("small").html, notebooks.recorded("small")
    book.profile("quick", "small", "steps: 12\n")
    assert "12" in fidelity.table("small").html and "12" not in before
    assert notebooks.recorded("small") != depends


def test_a_profile_of_the_readers_own_leaves_every_run_as_it_is(book):
    book.notebook("small")
    write(book)
    before, depends = fidelity.table("small").html, notebooks.recorded("small")
    book.profile("mine", "small", "steps: 12\n")
    assert (fidelity.table("small").html, notebooks.recorded("small")) == (before, depends)


def test_without_released_code_its_column_is_left_out(book):
    book.notebook("small")
    write(book, TEXT.replace("code: 40, ", "").replace("code: on, ", ""))
    soup = BeautifulSoup(fidelity.table("small").html, "html.parser")
    assert [th.text for th in soup.select("thead th")] == ["setting", "paper's text", "here"]
    assert soup.select_one("td")["data-label"] == "paper's text"  # what a narrow screen shows above it


def test_links_lead_to_the_chapter_from_the_page_and_stay_on_it_in_the_chapter(book):
    book.notebook("small")
    write(book)
    assert 'href="#p-t1"' in fidelity.table("small").html
    page = BeautifulSoup(fidelity.page(), "html.parser")
    assert [a["href"] for a in page.select("a")] == [
        "../notebooks/small.html",
        "../notebooks/small.html#p-t1",
    ]


def test_a_chapter_to_come_has_no_values_and_no_links(book):
    write(book)
    page = BeautifulSoup(fidelity.page(), "html.parser")
    assert "its chapter is to come" in page.h2.text and not page.select("a")
    assert cells(fidelity.page())[0][3] == "steps| below"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[steps, eps]", "[stepps]"), "P-L1 names the parameter stepps, which small has not"),
        (("here: off", "there: off"), "settings.1.here"),
        (("id: P-L2", "id: P-L1"), "P-L1 is there twice"),
        (("settings:", "settings: ["), "deviations/small.yaml"),
    ],
)
def test_a_register_that_cannot_be_used_is_one_clear_line(book, change, said):
    book.notebook("small")
    write(book, TEXT.replace(*change))
    with pytest.raises(UserError, match=said):
        fidelity.page()


def test_a_missing_register_is_named(book):
    with pytest.raises(UserError, match="other has no register of deviations: .*other.yaml is missing"):
        fidelity.table("other")


def test_no_setting_of_the_spec_is_left_out():
    known = {item.id for register in fidelity.load() for item in register.settings}
    spec = yaml.safe_load(Path(__file__).with_name("spec.yaml").read_text("utf-8"))["left_out"]
    asked = {f"{paper}-{n}" for paper, of in spec.items() for entries in of.values() for n in entries.split()}
    assert not asked - known


def test_every_chapter_has_a_register_and_shows_it():
    registers = {register.notebook for register in fidelity.load()}
    for name in notebooks.names():
        assert name in registers
        code = "".join(cell.source for cell in notebooks.read(notebooks.source_path(name)).cells)
        assert f'fidelity.table("{name}")' in code


def test_all_registers_can_be_shown():
    assert fidelity.page().count("<table") == len(list((ledger.folder() / "deviations").glob("*.yaml")))
