"""The table of error rates: what is marked, and what a world that is not false shows."""

from bs4 import BeautifulSoup

from companion.publishing.claims import calibration
from companion.publishing.pages import calibrated


def test_what_is_marked(monkeypatch):
    worlds = dict.fromkeys(calibration.WORLDS, {"undecided": 1.0})
    good = worlds | {"paper": {"reproduced": 0.9, "undecided": 0.1}, "one reversed": {}}
    bad = worlds | {"paper": {"reproduced": 0.5, "not reproduced": 0.2}, "equal": {"reproduced": 0.1}}
    kept = {
        "draws": 10,
        "in print": {"P-C1": "holds", "P-C2": "holds"},
        "claims": {
            "P-C1": {"quick": bad, "recorded": bad},
            "P-C2": {"recorded": good, "paper": worlds | {"paper": {}}},
        },
    }
    monkeypatch.setattr(calibration, "kept", lambda: kept)
    rows = BeautifulSoup(calibrated.page(), "html.parser").select("tbody tr")
    text = [[cell.text for cell in row.select("td")] for row in rows]
    assert text[1] == ["recorded", "50", "20", "10", "0", "0", "0"]
    assert text[2] == ["recorded", "90", "0", "0", "0", "–", "0"]
    assert text[3][1] == "its rows are not in this run"
    marked = [[cell.text for cell in row.select("td.off")] for row in rows]
    assert marked == [[], ["50", "20", "10"], [], []]  # only the run that is made to decide


def test_nothing_calibrated_is_said(monkeypatch):
    monkeypatch.setattr(calibration, "kept", dict)
    assert "companion calibrate" in calibrated.page()
