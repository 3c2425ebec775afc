"""How often each answer comes, in worlds where the truth is known: the error rates of claims.judging.

A world gives every row of a claim its true value: as the paper prints it, or changed so that the claim is
false. A
design says how many nets and images a run has, a draw adds what chance adds: each net differs from its kind,
and each image is classified by some nets and not by others. The rules then decide the draw.
"""

import functools
import json
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm

from companion.publishing import paths
from companion.publishing.claims import judging, ledger, rules
from companion.publishing.claims.intervals import Part
from companion.publishing.claims.ledger import Claim, PaperClaims
from companion.publishing.claims.rows import Row, select
from companion.publishing.claims.rules import Strict, Where
from companion.publishing.paths import UserError

WORLDS = {
    "paper": "as the paper prints it",
    "equal": "nothing differs",
    "reversed": "everything reversed",
    "one reversed": "one part reversed by twice the margin",
    "one only": "only the largest part differs",
}
#: How much of a net's deviation all its accuracies share.
_SHARED = 0.5


class Design(Strict):
    """A run, and what chance adds in it.

    nets: of each kind, one a seed. images: test images; none where no verdicts on images are kept. keep:
    which of the printed rows it has. between_nets: the standard deviation of a net's value, by quantity, *
    for any characters. discordant: the fraction of images on which two nets of 80 % accuracy differ. noise:
    where the two come from.
    """

    nets: int
    images: int = 0
    keep: Where = {}
    between_nets: dict[str, float]
    discordant: float = 0.06
    noise: str


class Designs(Strict):
    """book/claims/designs/designs.yaml: by notebook and profile."""

    designs: dict[str, dict[str, Design]]


def load() -> Designs:
    """The designs. Raises UserError naming what is wrong in the file."""
    path = ledger.folder() / "designs" / "designs.yaml"
    try:
        return Designs.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{paths.shown(path)}: {' '.join(str(error).split())}") from None


def printed_claims() -> Iterator[tuple[PaperClaims, Claim, list[Row]]]:
    """Every claim that printed numbers decide, by image set, with all rows of the kinds it uses."""
    for paper in ledger.load():
        printed = ledger.printed(paper.notebook)
        for claim in paper.claims:
            if claim.rule is None or claim.of_print or claim.rule.identity or claim.rule.association:
                continue
            for rows, about in ledger.by_images(claim.rule, paper.images_of(claim), printed).values():
                used = [row for where in claim.rule.conditions() for row in select(rows, where)]
                kinds = {(row["experiment"], row["quantity"]) for row in used}
                if about and rules.asked(claim.rule, rows, lambda quantity: 0.0).complete:
                    yield paper, claim, [row for row in rows if (row["experiment"], row["quantity"]) in kinds]


def rates(
    paper: PaperClaims, claim: Claim, rows: Sequence[Row], design: Design, world: str, draws: int
) -> dict[str, float]:
    """How often each answer comes, of so many draws of a world under a design. Seeded by draw.

    Empty where the design lacks rows that the claim needs, and where the world does not make it false: a
    claim about most parts survives one that is reversed.
    """
    assert claim.rule
    if world == "one reversed" and claim.rule.judge != "every":
        return {}
    margin = functools.partial(paper.margin_of, claim)
    kept = [row for row in rows if select([row], {k: v for k, v in design.keep.items() if k in row})]
    asked = rules.asked(claim.rule, kept, margin)
    if not asked.complete:
        return {}
    used = {id(row) for part in asked.parts for each in part.best or (part,) for _, row in each.terms}
    words: Counter[str] = Counter()
    for draw in range(draws):
        true = truth(asked.parts, kept, world, draw)
        drawn = sample(kept, true, design, np.random.default_rng(draw), used)
        words[rules.verdict(claim.rule, drawn, margin=margin, resolution=paper.resolution_of).word] += 1
    return {word: words[word] / draws for word in judging.BADGES if words[word]}


def truth(parts: Sequence[Part], rows: Sequence[Row], world: str, draw: int = 0) -> np.ndarray:
    """The true value of every row in a world: the smallest change of the printed ones that makes it so.

    Where parts share rows and cannot all have the value asked, the one that is reversed has it.
    """
    printed = np.array([float(row["value"]) for row in rows])
    if world == "paper":
        return printed
    difference = np.array([max(map(_printed_value, part.best or (part,))) for part in parts])
    wanted, weight = np.zeros(len(parts)), np.ones(len(parts))
    largest, one = int(np.argmax(difference)), draw % len(parts)
    if world == "reversed":
        wanted = -difference
    elif world == "one only":
        wanted[largest], weight[largest] = difference[largest], 1e3
    elif world == "one reversed":
        wanted = difference.copy()
        wanted[one], weight[one] = -2 * (parts[one].margin or abs(difference[one])), 1e3
    places = {id(row): i for i, row in enumerate(rows)}
    sides = [(p, each) for p, part in enumerate(parts) for each in part.best or (part,)]
    matrix, change = np.zeros((len(sides), len(rows))), np.zeros(len(sides))
    for i, (p, each) in enumerate(sides):
        for w, row in each.terms:
            matrix[i, places[id(row)]] += w
        value = _printed_value(each)  # the best gets what is wanted, its rivals at most that
        change[i] = (wanted[p] if value == difference[p] else min(value, wanted[p])) - value
    by_side = weight[[p for p, _ in sides]]
    return printed + np.linalg.lstsq(matrix * by_side[:, None], change * by_side, rcond=None)[0]


def _printed_value(part: Part) -> float:
    return sum(w * float(row["value"]) for w, row in part.terms) + part.constant


def sample(
    rows: Sequence[Row], true: np.ndarray, design: Design, rng: np.random.Generator, used: Container[int]
) -> list[dict[str, Any]]:
    """Rows as a run would record them: a value for every net, and for accuracies the verdict on every image.

    An image is classified correctly where its difficulty and the net's own luck stay below the quantile of
    the net's accuracy; how much of it is difficulty follows from the design's discordance. Rows that are not
    `used` (by id) only lend their spread, and get the same spread without verdicts.
    """
    common = _common(design.discordant)
    difficulty = rng.standard_normal(design.images, dtype=np.float32)
    shared: dict[Any, np.ndarray] = {}
    found = []
    for row, value in zip(rows, true, strict=True):
        kind = row.get("model")
        own = rng.standard_normal(design.nets)
        with_kind = shared.setdefault(kind, rng.standard_normal(design.nets))
        deviation = np.sqrt(_SHARED) * with_kind + np.sqrt(1 - _SHARED) * own
        values = value + spread(design, row["quantity"]) * deviation
        kept: dict[str, Any] = {}
        of_images = row["quantity"].endswith("accuracy") and design.images
        if of_images and id(row) not in used:
            luck = 100 * np.sqrt(design.discordant / 2 / design.images)
            values = values + luck * rng.standard_normal(design.nets)
        elif of_images:
            bar = norm.ppf(np.clip(values / 100, 1e-6, 1 - 1e-6)).astype(np.float32)[:, None]
            luck = rng.standard_normal((design.nets, design.images), dtype=np.float32)
            correct = np.sqrt(common) * difficulty + np.sqrt(1 - common) * luck < bar
            kept, values = {"correct": correct}, 100 * correct.mean(1)
        found.append({**row, "value": float(values.mean()), "values": list(map(float, values)), **kept})
    return found


def spread(design: Design, quantity: str) -> float:
    """The standard deviation of a net's value; StopIteration for a quantity that the design leaves out."""
    return next(sd for pattern, sd in design.between_nets.items() if fnmatchcase(quantity, pattern))


@functools.cache
def _common(discordant: float) -> float:
    """The part of the latent variance that is the image's, so that nets of 80 % differ on so many images."""
    bar = float(norm.ppf(0.8))

    def differ(common: float) -> float:
        both = float(multivariate_normal.cdf([bar, bar], cov=[[1, common], [common, 1]]))
        return 2 * (0.8 - both)

    return float(brentq(lambda common: differ(common) - discordant, 1e-3, 0.9999))


def run(draws: int, say: Callable[[str], None], only: str = "") -> dict[str, Any]:
    """Every printed claim whose id has `only` in it, under every design in every world."""
    designs = load().designs
    found: dict[str, Any] = {}
    in_print: dict[str, str] = {}
    for paper, claim, rows in printed_claims():
        if only not in claim.id:
            continue
        images = next((str(row["dataset"]) for row in rows if "dataset" in row), "")
        name = f"{claim.id} on {images}" if images else claim.id
        how = {"margin": functools.partial(paper.margin_of, claim), "reading": paper.reading}
        in_print[name] = rules.verdict(claim.rule, rows, **how).word if claim.rule else ""
        for profile, design in designs.get(paper.notebook, {}).items():
            by_world = {w: rates(paper, claim, rows, design, w, draws) for w in WORLDS}
            found.setdefault(name, {})[profile] = by_world
            say(f"{name}, {profile}: {_line(by_world)}")
    return {"draws": draws, "in print": in_print, "claims": found}


def _line(by_world: Mapping[str, Mapping[str, float]]) -> str:
    if not by_world["paper"]:
        return "not in this design"
    return "; ".join(f"{world} {of.get('reproduced', 0):.0%}" for world, of in by_world.items())


def kept() -> dict[str, Any]:
    """What `companion calibrate` has written; empty where it has not."""
    path = paths.root() / "results" / "calibration.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}
