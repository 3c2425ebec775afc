"""Keeping a run: only a complete one of committed code, with all that was said of it."""

import json

import pytest

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
