"""No claim or erratum of the spec is missing, each is decided or marked, its link leads somewhere."""

import re
from pathlib import Path

import pytest
import yaml

from companion.publishing.claims import judging, ledger, verdicts
from companion.publishing.pages import errata, fidelity
from companion.publishing.running import notebooks

SPEC = yaml.safe_load(Path(__file__).with_name("spec.yaml").read_text("utf-8"))


def ids(of: str) -> set[str]:
    """The spec's ids of one kind: of a paper's claims P-C1 to P-Cn, of its errata P-E1 to P-En."""
    letter = of[0].upper()
    return {f"{paper}-{letter}{i + 1}" for paper, n in SPEC[of].items() for i in range(n)}


def labels(notebook: str) -> set[str]:
    """What a chapter's text can be linked at: (label)= in its cells."""
    cells = notebooks.read(notebooks.source_path(notebook)).cells
    return {label for cell in cells for label in re.findall(r"^\(([\w-]+)\)=$", cell.source, re.MULTILINE)}


def test_every_claim_of_the_spec_is_in_book_claims():
    found = [claim.id.split(",")[0] for of in ledger.load() for claim in of.claims]
    assert not ids("claims") - set(found)


def test_every_erratum_of_the_spec_is_on_the_page_once():
    found = [item.id for of in errata.load() for item in of.items]
    assert not ids("errata") - set(found) and len(found) == len(set(found))


@pytest.mark.slow
def test_every_claim_is_decided_or_marked_for_every_source(tmp_path, monkeypatch):
    """On a checkout with nothing run, and on this one: a word of the legend for each claim and source."""
    here = verdicts.of_profile("quick")
    monkeypatch.setattr(verdicts.paths, "runs_dir", lambda: tmp_path)
    fresh = verdicts.of_profile("quick")
    for found in (fresh, here):
        assert ids("claims") <= {s.claim.id.split(",")[0] for s in found}
        for decided in found:
            for source, of in decided.verdicts.items():
                assert of or (decided.claim.of_print and source != verdicts.PRINT)
                assert all(v.word in judging.BADGES and v.detail for v in of.values())
    assert {v.word for s in fresh for v in s.verdicts["quick"].values()} == {"not tested here"}


ENTRIES = [
    *(("claims", of.notebook, of.claims) for of in ledger.load()),
    *(("errata", of.notebook, of.items) for of in errata.load()),
    *(("deviations", of.notebook, of.settings) for of in fidelity.load()),
]


@pytest.mark.parametrize(("kind", "notebook", "entries"), ENTRIES, ids=[f"{k}-{n}" for k, n, _ in ENTRIES])
def test_links_lead_to_a_label_of_the_chapter(kind, notebook, entries):
    for entry in entries:
        # A cell decides every claim; an erratum may be shown in another chapter than its paper's first
        assert entry.anchor in labels(getattr(entry, "notebook", "") or notebook) or (
            kind != "claims" and not entry.anchor
        )
