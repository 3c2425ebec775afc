"""What every chapter shows alike."""

import os

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from companion.publishing import paths
from companion.publishing.claims import ledger
from companion.publishing.pages import show
from companion.publishing.running import chapter


@pytest.fixture
def run(checkout, monkeypatch):
    monkeypatch.setenv("COMPANION_PROFILE", "quick")
    monkeypatch.delenv("COMPANION_RUN_DIR", raising=False)
    return chapter.Run("small", checkout.root / "here", {}, {})


@pytest.fixture
def filled(run, monkeypatch):
    shown = {}
    monkeypatch.setattr(run, "fill", lambda name, what: shown.update({name: what.html}))
    return shown


FRAME = pd.DataFrame(
    [
        {"model": m, "seed": s, "quantity": "acc", "attack": a, "value": v, "images": [1, 0, 1]}
        for (m, a), values in {("<A>", "l2"): (1, 3), ("<A>", "linf"): (5, 5), ("B", "l2"): (4, 6)}.items()
        for s, v in enumerate(values)
    ]
)


def test_a_table_has_mean_and_spread_the_best_marked_and_gaps_said():
    soup = BeautifulSoup(show.measured(FRAME, caption="All").html, "html.parser")
    cells = [td.text for td in soup.select("td")]
    assert cells == ["2.0 ± 1.4", "5.0 ± 0.0", "5.0 ± 1.4", "not run"]
    assert [td.text[:3] for td in soup.select("td.best")] == ["5.0", "5.0"]
    assert [th.text for th in soup.select("tbody th")] == ["<A>", "B"]


def test_a_frame_is_recorded_by_its_labels_with_the_verdicts_on_images(run):
    run.record_frame("X-1", FRAME, ["model", "attack"], dataset="few")
    assert len(run.rows) == 3
    first = run.rows[0]
    assert (first["model"], first["attack"], first["dataset"], first["values"]) == (
        "<A>",
        "l2",
        "few",
        [1, 3],
    )
    assert first["correct"] == ["101", "101"] and first["value"] == 2


def test_fractions_of_restarts_are_no_verdicts(run):
    frame = FRAME.assign(images=[[1, 0.5, 1]] * 6)
    run.record_frame("X-1", frame, ["model", "attack"])
    assert not any("correct" in row for row in run.rows)


def test_a_frame_whose_labels_do_not_tell_its_rows_apart_is_refused(run):
    run.record_frame("X-1", FRAME, ["model", "attack"])
    with pytest.raises(ValueError, match="recorded twice"):
        run.record_frame("X-1", FRAME, ["model", "attack"])


def test_the_box_holds_the_sentences_and_nothing_in_smoke(run, filled):
    show.found(run, ["Up by <b>3</b>."])
    assert "<li>Up by <b>3</b>.</li>" in filled["found"]
    run.profile = "smoke"
    show.found(run, ["Up by 3."])
    assert "Up by" not in filled["found"] and "smoke" in filled["found"]


def test_below_the_box_stands_the_recorded_picture_with_a_caption_that_both_themes_show(
    run, filled, monkeypatch, checkout
):
    for theme in ("light", "dark"):
        paths.recorded_picture("small", theme).parent.mkdir(parents=True, exist_ok=True)
        paths.recorded_picture("small", theme).write_bytes(theme.encode())
    about = {"profile": "recorded", "parameters": {"n_train": 0, "seeds": [0, 1]}}
    monkeypatch.setattr(run, "recorded_run", lambda: about)
    monkeypatch.setattr(run, "recorded_when", lambda: "2026-01-02")
    for rows, images in (([{"dataset": "MNIST"}, {"dataset": "MNIST"}], "MNIST, "), ([{}], "")):
        monkeypatch.setattr(run, "recorded", lambda rows=rows: rows)
        show.found(run, [])
        figure = BeautifulSoup(filled["found"], "html.parser").figure
        assert figure.figcaption.text.endswith(f"run: {images}profile recorded, 2026-01-02.")
        assert len(figure.select("img.only-light, img.only-dark")) == 2
        assert not figure.select(".only-light ~ figcaption, .only-dark ~ figcaption")  # the theme hides these


def test_the_first_line_says_what_runs_and_that_smoke_means_nothing(run):
    line = show.opening(run, "3 images of <x>", "the CPU").html
    assert "3 images of &lt;x&gt;" in line and "mean nothing" not in line
    run.profile = "smoke"
    assert "mean nothing" in show.opening(run, "3 images", "the CPU").html


def test_the_paper_stands_above_this_run_and_the_recorded_one(run, monkeypatch):
    paper = {"experiment": "X-1", "model": "A", "protocol": "weak", "attack": "l2", "value": 9.0}
    monkeypatch.setattr(ledger, "printed", lambda name: [paper])
    run.record("X-1", "acc", 8.0, model="A", protocol="weak", attack="l2")
    run.record("X-1", "acc", 7.0, model="A", protocol="strong", attack="l2")
    monkeypatch.setattr(run, "recorded", lambda: [paper | {"value": 6.0}])
    shown = {"weak": {"protocol": "weak"}, "strong": {"protocol": "strong"}}
    row = BeautifulSoup(show.beside(run, "X-1", shown, caption="All.").html, "html.parser").tbody.tr
    assert row.td.text == "9.0here, weak 8.0here, strong 7.0recorded, weak 6.0"  # no strong one is recorded
    names = [[line.text.strip() for line in cell.select(".paper i")] for cell in (row.th, row.td)]
    assert names[0] == names[1] == ["here, weak", "here, strong", "recorded, weak"]


def test_a_number_that_is_missing_beside_the_papers_keeps_its_line(run, monkeypatch):
    paper = [{"experiment": "X-1", "model": "A", "attack": a, "value": 9.0} for a in ("l2", "linf")]
    monkeypatch.setattr(ledger, "printed", lambda name: paper)
    monkeypatch.setattr(run, "recorded", lambda: [])
    run.record("X-1", "acc", 8.0, model="A", attack="l2")
    soup = BeautifulSoup(show.beside(run, "X-1", {"all": {}}, caption="").html, "html.parser")
    assert [td.text for td in soup.select("td")] == ["9.0here, all 8.0", "9.0here, all –"]


def test_a_place_held_is_filled_later(run, monkeypatch):
    import IPython.display

    said = []
    for name in ("display", "update_display"):
        monkeypatch.setattr(IPython.display, name, lambda what, display_id: said.append((display_id, what)))
    run.later("found")
    run.fill("found", "seen")
    assert said[0][0] == said[1][0] == "small-found" and said[1][1] == "seen"
    assert "below" in said[0][1].html and os.environ["COMPANION_PROFILE"] == "quick"


def test_what_the_paper_says_in_words_stands_beside_both_runs(run, monkeypatch):
    run.record("X-F1", "share", 0.5, place="least")
    monkeypatch.setattr(run, "recorded", lambda: [{"experiment": "X-F1", "place": "least", "value": None}])
    said = {"F1": ({"experiment": "X-F1", "place": "least"}, "near 1"), "F2": ({"experiment": "X-F2"}, "–")}
    of = {"profile": "gpu", "started": "2026-11-20T01:00", "parameters": {"n_train": 5000, "seeds": [0]}}
    monkeypatch.setattr(run, "recorded_run", lambda: of)
    soup = BeautifulSoup(show.quoted(run, said, "here", caption="").html, "html.parser")
    assert [td.text for td in soup.select("td")] == ["near 1", "0.50", "–", "–", "–", "–"]
    assert "Recorded run: profile gpu, 5,000 training images, 1 seed(s)." in soup.text


def test_an_infinite_distance_has_no_spread():
    assert show.spread([1.0, float("inf")]) == (float("inf"), None)


def test_a_quantity_along_a_label_has_a_column_for_each_run_and_image_set(run, monkeypatch):
    print_rows = [
        {"experiment": "X-4", "quantity": "vii", "b": 0.5, "value": 0.0607, "dataset": "P", "model": "r"}
    ]
    monkeypatch.setattr(ledger, "printed", lambda name: print_rows)
    earlier = {"experiment": "X-4", "quantity": "vii", "b": 0.5, "value": 0.4, "dataset": "R", "model": "m"}
    monkeypatch.setattr(run, "recorded", lambda: [earlier])
    settings = {"parameters": {"n_train": 6000, "epochs": 8, "seeds": [0]}}
    monkeypatch.setattr(run, "recorded_run", lambda: settings)
    run.record("X-4", "vii", [0.1, 0.2], b=0.5, dataset="S", model="m", gradient="exact")
    run.record("X-4", "vii", [0.9, 0.9], b=0.5, dataset="S", model="m", gradient="other")
    run.record("X-4", "vii", [0.3], b=1.0, dataset="S", model="m", gradient="exact")
    table = show.along(run, "X-4", "vii", "b", digits=3, caption="All", gradient="exact")
    soup = BeautifulSoup(table.html, "html.parser")
    told = "earlier run, 6000 training images, 8 epochs: R, m"
    assert [th.text for th in soup.select("thead th")] == ["b", "paper: P, r", "here: S, m", told]
    values = ["0.061", "0.150", "0.400", "not run", "0.300", "not run"]
    assert [td.text for td in soup.select("td")] == values
