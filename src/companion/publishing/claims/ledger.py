"""The claims of the papers: book/claims/PAPER.yaml, each with the rule that decides it on a run's rows."""

import csv
import datetime
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, model_validator

from companion.publishing import paths
from companion.publishing.claims import rules
from companion.publishing.claims.judging import DECIDED, Verdict
from companion.publishing.claims.rows import Row, select
from companion.publishing.claims.rules import Rule, Strict, Where
from companion.publishing.paths import UserError

#: Image sets that stand for those a claim is about, and what a verdict on them says.
STAND_INS = {
    "small MNIST": ("MNIST", "on MNIST in miniature"),
    "CIFAR-10 (JPEG)": ("CIFAR-10", "on CIFAR-10 from JPEG files"),
}


class Margin(Strict):
    """What does not matter of a quantity, in its unit, and why. of: the quantity, * for any characters."""

    of: str = "*"
    value: float = Field(ge=0)
    because: str


class Resolution(Strict):
    """The step of the scale that a quantity is read on, and why. of: as in Margin."""

    of: str = "*"
    value: float = Field(gt=0)
    because: str


class Revision(Strict):
    """A change of a rule after a run it was decided on, or a claim that came later."""

    date: datetime.date
    why: str


class Claim(Strict):
    """What a paper says, where, with which numbers, and the rule that decides it, fixed before the run.

    anchor: the label of the cell in the notebook that makes the rows it is decided on.
    ours: a claim of this book, not of the paper; counted apart.
    images: the image sets it is about; the paper's, if left out; none where it is about no images.
    of_print: what a text says of its own tables, which a run has nothing to say about.
    margin: of all its parts, instead of the paper's. in_print: the rule for the paper's numbers, where it
    prints them in another form than a run records them.
    """

    id: str
    statement: str
    where: str = ""
    paper: str = ""
    note: str = ""
    anchor: str = ""
    ours: bool = False
    images: list[str] | None = None
    of_print: bool = False
    margin: Margin | None = None
    revised: list[Revision] = []
    rule: Rule | None = None
    in_print: Rule | None = None

    def asked_of(self, *, exact: bool) -> Rule | None:
        """The rule for printed numbers (exact) or for a run's."""
        return (self.in_print if exact else None) or self.rule


class Headline(Strict):
    """A claim as the front page says it, in plain words."""

    claim: str
    says: str


class PaperClaims(Strict):
    """One paper's claims. title: what readers know it by. question, headline: what the front page asks and
    answers.

    images: the image sets they are about. margins: what does not matter, unless a claim says otherwise; of a
    quantity that none is said of, any difference counts.
    resolutions: the steps of quantities that are read on a coarse scale, such as a fraction of twenty points.
    reading: how far printed numbers may be off, by their `kind`, "" for those that have none.
    under: named restrictions, such as protocols, under each of which all are decided; one binds rows that
    have its labels, unless the claim's rule names the label itself.
    """

    paper: str
    title: str = ""
    question: str = ""
    headline: list[Headline] = []
    notebook: str
    images: list[str] = []
    margins: list[Margin] = []
    resolutions: list[Resolution] = []
    reading: dict[str, float] = {}
    under: dict[str, Where] = {"": {}}
    claims: list[Claim]

    @model_validator(mode="after")
    def _headlines_are_claims(self) -> "PaperClaims":
        if unknown := {of.claim for of in self.headline} - {claim.id for claim in self.claims}:
            raise ValueError(f"headline: {sorted(unknown)[0]} is no claim of this file")
        return self

    def margin_of(self, claim: Claim, quantity: str) -> float:
        """What does not matter of a quantity in a claim."""
        of = [claim.margin] if claim.margin else self.margins
        return next((m.value for m in of if m and fnmatchcase(quantity, m.of)), 0.0)

    def resolution_of(self, quantity: str) -> float:
        """The step of the scale that a quantity is read on; 0 where it is not said to be coarse."""
        return next((r.value for r in self.resolutions if fnmatchcase(quantity, r.of)), 0.0)

    def images_of(self, claim: Claim) -> list[str]:
        """The image sets a claim is about; none if it is about no images."""
        return self.images if claim.images is None else claim.images


def folder() -> Path:
    """Where the claims are: in the checkout, or beside this module where no checkout is."""
    installed = Path(__file__).parent / "claims_of_papers"
    return installed if installed.is_dir() else paths.root() / "book" / "claims"


def load() -> list[PaperClaims]:
    """All papers' claims. Raises UserError naming the file, the claim and what is wrong with it."""
    found = []
    for path in sorted(folder().glob("*.yaml")):
        try:
            found.append(PaperClaims.model_validate(yaml.load(path.read_text("utf-8"), _Loader)))
        except yaml.YAMLError as error:
            raise UserError(f"{paths.shown(path)}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{paths.shown(path)}, {place}: {first['msg']}") from None
    ids = [claim.id for paper in found for claim in paper.claims]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise UserError(f"{paths.shown(folder())}: {sorted(twice)[0]} is there twice")
    return sorted(found, key=lambda of: paths.paper_rank(of.paper))


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def of_notebook(notebook: str) -> list[PaperClaims]:
    """The claims decided by a notebook's runs, by paper."""
    return [paper for paper in load() if paper.notebook == notebook]


def printed(notebook: str) -> list[Row]:
    """The numbers the paper prints, as rows of a notebook's results; none where it prints none."""
    path = folder() / "printed" / f"{notebook}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: _number(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def decide(paper: PaperClaims, rows: Iterable[Row], *, exact: bool = False) -> dict[str, dict[str, Verdict]]:
    """Every claim of a paper, by id, decided on the rows of one run, or of the paper (exact).

    A claim has a verdict for each image set it is about and each restriction, by their names; one only where
    no row it rests on knows a difference. Image sets that it is not about decide nothing, and are said.
    """
    rows = list(rows)
    places = {id(row): place for place, row in enumerate(rows)}
    return {claim.id: _verdicts(claim, paper, rows, places, exact) for claim in paper.claims}


def _verdicts(
    claim: Claim, paper: PaperClaims, rows: list[Row], places: Mapping[int, int], exact: bool
) -> dict[str, Verdict]:
    if claim.of_print and not exact:
        return {}
    rule = claim.asked_of(exact=exact)
    if rule is None:
        return {"": Verdict("not tested here", claim.note or "no rule decides it")}
    found: dict[str, Verdict] = {}
    sets = by_images(rule, paper.images_of(claim), rows)
    for images, (of_images, about) in sets.items():
        for under, verdict in _under(claim, rule, paper, of_images, places, exact).items():
            name = ", ".join(text for text in (images if len(sets) > 1 else "", under) if text)
            found[name] = _placed(verdict, images, about, paper.images_of(claim))
    known = {k: v for k, v in found.items() if v.word != "not tested here"}
    return known or dict([next(iter(found.items()))])


def by_images(rule: Rule, about: Sequence[str], rows: list[Row]) -> dict[str, tuple[list[Row], bool]]:
    """The rows by image set, each set with those that name none, and whether it is one of `about`."""
    used = [row for where in rule.conditions() for row in select(rows, where)]
    sets = list(dict.fromkeys(row["dataset"] for row in used if "dataset" in row))
    if not about or not sets:
        return {"": (rows, True)}
    return {
        name: ([r for r in rows if r.get("dataset", name) == name], STAND_INS.get(name, (name,))[0] in about)
        for name in sets
    }


def _placed(verdict: Verdict, images: str, about: bool, wanted: list[str]) -> Verdict:
    """The verdict, with the images it was reached on; an answer on other images is no answer to the claim."""
    if verdict.word == "not tested here" or not images:
        return verdict
    verdict = replace(verdict, images=images)
    if not about:
        told = f"the claim is about {' and '.join(wanted)}; on {images} it would be “{verdict.word}”"
        return replace(
            verdict,
            word="not tested here",
            elsewhere=verdict.word,
            detail=f"{told}: {verdict.detail}",
            effect=None,
        )
    if images in STAND_INS:
        return replace(verdict, detail=f"{STAND_INS[images][1]}: {verdict.detail}")
    return verdict


def _under(
    claim: Claim, rule: Rule, paper: PaperClaims, rows: list[Row], places: Mapping[int, int], exact: bool
) -> dict[str, Verdict]:
    """The verdicts under each restriction; one only, where no row it rests on is restricted."""
    conditions = rule.conditions()
    named = {label for where in conditions for label in where}
    margin = (lambda quantity: 0.0) if claim.of_print else functools.partial(paper.margin_of, claim)
    found = {}
    for name, restriction in paper.under.items():
        binding = {k: v for k, v in restriction.items() if k not in named}
        left = [row for row in rows if all(row.get(k, v) == v for k, v in binding.items())]
        rests_on = {places[id(row)] for where in conditions for row in select(left, where)}
        known = {"margin": margin, "resolution": paper.resolution_of}
        decided = rules.verdict(rule, left, **known, reading=paper.reading if exact else None)
        found[name] = replace(decided, rows=tuple(sorted(rests_on)))
    used = [row for where in conditions for row in select(rows, where)]
    labels = {label for restriction in paper.under.values() for label in restriction} - named
    if not any(label in row for row in used for label in labels):
        return {"": next(iter(found.values()))}
    return found


def overall(verdicts: Mapping[str, Verdict]) -> str:
    """One word for a claim's verdicts on several image sets and under several protocols.

    A claim is reproduced where all that was decided says so; the least favourable answer counts, and a claim
    with anything undecided beside answers that agree is undecided. Empty where there is none.
    """
    words = [v.word for v in verdicts.values()]
    for word in ("not reproduced", "contradicted", "undecided", "no difference", "reproduced"):
        if word in words:
            return word
    return next((w for w in words if w != "not tested here"), words[0] if words else "")


def decided(verdicts: Mapping[str, Verdict]) -> bool:
    """Whether a claim has an answer."""
    return overall(verdicts) in DECIDED


def plain_id(claim: str) -> str:
    """A claim's id without the name of its part: BR-C4 of "BR-C4, sign"."""
    return re.split(",", claim)[0]
