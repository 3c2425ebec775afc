"""Keeping a run: only a complete one of committed code, with all that was said of it."""

import json
from base64 import b64decode

import pytest
from bs4 import BeautifulSoup

from companion.publishing.pages import show
from companion.publishing.paths import UserError
from companion.publishing.running import chapter, records

COMPLETE = {
    "notebook": "small",
    "complete": True,
    "commit": "a" * 40,
    "dirty": False,
    "command": "companion run small",
}
RESULTS = {
    "rows": [{"experiment": "T1", "quantity": "x", "value": 0.5}],
    "checks": {"net": []},
    "device": "CPU",
}


def kept(checkout, run: str = "gpu/small@12345678", note: str = "", **changes) -> dict:
    folder = checkout.folder("small@12345678", "gpu")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(COMPLETE | changes), "utf-8")
    (folder / "results.json").write_text(json.dumps(RESULTS | {"checks": changes.get("checks", {})}), "utf-8")
    return json.loads(records.record(run, note).read_text("utf-8"))


@pytest.mark.parametrize("run", ["gpu/small@12345678", "runs/gpu/small@12345678"])
def test_rows_and_provenance_are_kept(checkout, run):
    assert kept(checkout, run) == {"run": COMPLETE, "rows": RESULTS["rows"]}
    assert kept(checkout, run, "one seed")["run"] == COMPLETE | {"note": "one seed"}


def test_the_first_picture_is_kept_and_shown_below_what_was_found(checkout, monkeypatch):
    folder = checkout.folder("small@12345678", "gpu")
    folder.mkdir(parents=True)
    for theme in ("light", "dark"):
        (folder / f"question-{theme}.png").write_bytes(theme.encode())
    about = {
        "profile": "gpu",
        "started": "2026-11-20T01:00",
        "parameters": {"n_train": 5000, "seeds": [0, 1]},
    }
    monkeypatch.setenv("COMPANION_PROFILE", "quick")
    run, shown = chapter.Run("small", checkout.root / "live", {}, {}), {}
    monkeypatch.setattr(run, "fill", lambda name, what: shown.update({name: what.html}))
    show.found(run, ["Much."])
    assert "<img" not in shown["found"]
    kept(checkout, **about)
    show.found(run, ["Much."])
    soup = BeautifulSoup(shown["found"], "html.parser")
    sources = {img["class"][0]: b64decode(img["src"].split(",")[1]).decode() for img in soup.select("img")}
    assert sources == {"only-light": "light", "only-dark": "dark"}
    assert "profile gpu, 5,000 training images, 2026-11-20" in soup.figcaption.text


def test_checks_are_kept(checkout):
    checks = {"standard": [{"id": "R1", "status": "passed"}]}
    assert kept(checkout, checks=checks)["checks"] == checks


def test_a_chapter_finds_the_record(checkout):
    kept(checkout)
    run = chapter.Run("small", checkout.root / "live", {}, {})
    assert run.recorded() == RESULTS["rows"] and run.recorded_run()["commit"] == "a" * 40


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"complete": False}, "is not complete; run it again: companion run small"),
        ({"dirty": True}, "uncommitted changes, so nobody could repeat it"),
        ({"commit": None, "dirty": None}, "uncommitted changes"),
    ],
)
def test_refused(checkout, changes, said):
    with pytest.raises(UserError, match=said):
        kept(checkout, **changes)
    assert not (checkout.root / "results").exists()


def test_a_run_that_is_not_there(checkout):
    with pytest.raises(UserError, match="no run in runs/gpu/nothing; `companion list` shows all runs"):
        records.record("gpu/nothing")
