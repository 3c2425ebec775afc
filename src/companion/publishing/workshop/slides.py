"""Slides of executed chapters: a reveal.js deck each, with speaker notes, which loads nothing from a network.

A deck shows what the chapter's page shows: the question, the equations, a slide for each figure, the box
*What we found*, the verdicts and the errata. What the box says of a figure is the heading of its slide.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from math import ceil
from pathlib import Path

from nbconvert import SlidesExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode
from nbformat.v4 import new_notebook, new_raw_cell

from companion.publishing import paths
from companion.publishing.pages import errata, mathjax
from companion.publishing.paths import UserError
from companion.publishing.running import notebooks

_DECK = Path(__file__).with_name("deck")
_WIDTH, _HEIGHT = 1240, 676  # of a slide, in pixels
_READABLE = 1.25  # pixels for a point of a figure: its letters of 10 points are then as large as a note
_WORDS_A_MINUTE = 130
_LINES = 19  # of a page of text
_SHOWN = re.compile(
    r'(?P<picture><svg\b.*?</svg>|<img class="only-light".*?>)'
    r'|<div class="cmp-finding"><p>(?P<caption>.*?)</p></div>|<figcaption>(?P<larger>.*?)</figcaption>',
    re.DOTALL,
)
_QUESTION = "The question in one picture"
_LINK = re.compile(r'\s*\(?<a href="#([\w-]+)">[^<]*</a>\)?')


@dataclass
class Slide:
    """A slide; heading, body and notes are HTML.

    told: the heading says what was found, and appears at the next key. look: seconds that the audience looks.
    """

    kicker: str
    heading: str
    body: str
    notes: Sequence[str] = ()
    told: bool = False
    look: int = 60

    @property
    def seconds(self) -> int:
        """How long it takes, to half a minute: a look, and the notes read aloud."""
        words = len(_plain(" ".join(self.notes)).split())
        return 30 * ceil((self.look + 60 * words / _WORDS_A_MINUTE) / 30)


@dataclass
class _Place:
    """Where in a chapter a cell stands: the last heading, the labels and the words below it."""

    chapter: str
    section: str = ""
    anchors: Sequence[str] = ()
    text: str = ""


def make(folder: Path, profile: str) -> tuple[int, list[str]]:
    """Write a deck for each chapter that has been run in a profile, and a page that lists them.

    Returns how many, and the chapters without a run. Raises UserError where `folder` is not empty, or no
    chapter has been run.
    """
    notebooks.require_profile(profile)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{paths.shown(folder)} holds something already; name a new folder")
    executed = {name: paths.runs_dir() / profile / name / "executed.ipynb" for name in notebooks.names()}
    contents = (paths.root() / "_toc.yml").read_text("utf-8")
    there = [name for name in sorted(executed, key=contents.find) if executed[name].is_file()]
    if not there:
        raise UserError(f"no chapter has been run; type `companion run --profile {profile}` first")
    shutil.copytree(_DECK / "reveal", folder / "reveal")
    shutil.copyfile(_DECK / "deck.js", folder / "deck.js")
    shutil.copyfile(paths.root() / "book/_static/companion.css", folder / "companion.css")
    mathjax.copy(folder / "mathjax")
    items = ""
    for name in there:
        slides = deck(notebooks.read(executed[name]), _errata(name))
        (folder / f"{name}.html").write_text(exported(slides), "utf-8")
        minutes = ceil(sum(slide.seconds for slide in slides) / 60)
        about = f"{len(slides)} slides, {minutes} minutes with every note read aloud"
        items += f'<li><a href="{name}.html">{slides[0].heading}</a><br><small>{about}</small></li>'
    index = (_DECK / "decks.html").read_text("utf-8")
    (folder / "index.html").write_text(index.replace("DECKS", items).replace("PROFILE", profile), "utf-8")
    return len(there), [name for name in executed if name not in there]


def _errata(chapter: str) -> list[errata.Erratum]:
    return [item for of in errata.load() for item in of.items if (item.notebook or of.notebook) == chapter]


def exported(slides: Sequence[Slide]) -> str:
    """The deck as a page, by nbconvert's exporter and our template; what it loads lies beside it."""
    exporter = SlidesExporter(template_name="deck", extra_template_basedirs=[str(_DECK.parent)])
    exporter.reveal_url_prefix, exporter.reveal_theme = "reveal", "companion"
    cells = [cell for slide in slides for cell in _cells(slide)]
    title = {"title": unescape(_plain(slides[0].heading))}
    return exporter.from_notebook_node(new_notebook(cells=cells, metadata=title))[0]


def _cells(slide: Slide) -> Iterator[NotebookNode]:
    size = len(_plain(slide.heading))
    classes = " ".join(["fragment"] * slide.told + ["long"] * (size > 110) + ["longer"] * (size > 220))
    tag = "h2" if slide.kicker else "h1"
    body = f'<p class="kicker">{slide.kicker}</p><{tag} class="{classes}">{slide.heading}</{tag}>{slide.body}'
    about = {"slide_type": "slide", "data": {"timing": str(slide.seconds)}}
    yield new_raw_cell(body, metadata={"slideshow": about})
    minutes = f"{slide.seconds / 60:g} minute{'s' * (slide.seconds != 60)}."
    notes = "".join(f"<p>{note}</p>" for note in (minutes, *slide.notes) if note)
    yield new_raw_cell(notes, metadata={"slideshow": {"slide_type": "notes"}})


def deck(executed: NotebookNode, found_errata: Sequence[errata.Erratum] = ()) -> list[Slide]:
    """The slides of an executed chapter, in the order in which one would tell it."""
    html = [_html(cell) for cell in executed.cells]
    opening = _first(r'<div class="cmp-opening">(.*?)</div>', html)
    items = re.findall("<li>(.*?)</li>", _first(r'<div class="cmp-found">(.*?)</div>', html), re.DOTALL)
    told = _told(items)
    title, _, question = executed.cells[0].source.partition("\n")
    chapter = escape(title.removeprefix("# "))
    place, slides = _Place(chapter), []
    for cell, shown in zip(executed.cells, html, strict=True):
        if cell.cell_type == "markdown":
            place = _moved(place, cell.source)
            slides += _equations(place, cell.source)
            slides += _predictions(place, cell.source)
        elif "playground.controls(" not in cell.source:
            slides += _figures(place, shown, told, opening)
            slides += _tables(place, shown, told, opening)
    here = {anchor for slide in slides for anchor in re.findall(r' id="([\w-]+)"', slide.body)}
    items = [_LINK.sub(lambda link: link[0] if link[1] in here else _plain(link[0]), of) for of in items]
    first = f'{markdown2html(_words(question))}<div class="cmp-opening">{opening}</div>'
    return [
        Slide("", chapter, first, ["Say what is asked before anything is shown."], look=90),
        *slides,
        *_found(chapter, items),
        *_verdicts(chapter, "".join(html)),
        *_errata_slides(chapter, found_errata),
    ]


def _html(cell: NotebookNode) -> str:
    """All HTML that a cell shows, but for its explorers and the listings of functions."""
    html = ("".join(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", []))
    kept = "".join(text for text in html if "cmp-explorer" not in text)
    return re.sub(r"<details.*?</details>", "", kept, flags=re.DOTALL)


def _first(pattern: str, texts: Sequence[str]) -> str:
    found = (re.search(pattern, text, re.DOTALL | re.MULTILINE) for text in texts)
    return next((match[1] for match in found if match), "")


def _plain(html: str) -> str:
    return re.sub("<[^>]*>", "", html)


def _told(items: Sequence[str]) -> dict[str, list[str]]:
    """What the box says, by the place that it links to: the words before a link, whole sentences."""
    told: dict[str, list[str]] = {}
    for item in items:
        if item.startswith("Not run here"):
            continue
        said = ""
        pieces = _LINK.split(item)
        for text, anchor in zip(pieces[::2], pieces[1::2], strict=False):
            begins = re.match(r"[\s.;,]*(?:<b>)?[^a-z]", text)
            said = text if begins and not text.startswith((";", ",")) else said + text
            told.setdefault(anchor, []).append(said.strip(" .,;"))
    return told


# ---- the chapter's words ----


def _moved(place: _Place, source: str) -> _Place:
    """The place after a markdown cell."""
    anchors = re.findall(r"^\(([\w-]+)\)=$", source, re.MULTILINE)
    before, *parts = re.split(r"^##+ (.*)$", source, flags=re.MULTILINE)
    if not parts:
        return _Place(place.chapter, place.section, anchors or place.anchors, _spoken(before))
    return _Place(place.chapter, _inline(parts[-2]), anchors, _spoken(parts[-1]))


def _words(source: str) -> str:
    """Markdown without what only the book's builder understands: labels, directives, citations, roles."""
    source = re.sub(r"^```\{.*?^```$", "", source, flags=re.MULTILINE | re.DOTALL)
    source = re.sub(r"^\([\w-]+\)=$", "", source, flags=re.MULTILINE)
    source = re.sub(r",?\s*\{cite(?::\w+)?\}`[^`]*`", "", source)
    source = re.sub(r"\{eq\}`[^`]*`", "the equation", source)
    source = re.sub(r"\{[\w:]+\}`([^`<]*?)\s*<[^`]*>`", r"\1", source)
    return re.sub(r"\{[\w:]+\}`([^`]*)`", lambda role: role[1].replace("_", " "), source).strip()


def _spoken(source: str) -> str:
    """What can be read aloud of markdown: its sentences without a formula; no tables, no code."""
    rest = re.sub(r"^\$\$.*?^\$\$.*?$|^```.*?^```$", "", _words(source), flags=re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^\|.*$", "", rest, flags=re.MULTILINE)
    sentences = re.split(r"(?<=[.?!:])\s+", " ".join(rest.split()))
    return _inline(" ".join(part for part in sentences if "$" not in part))


def _equations(place: _Place, source: str) -> list[Slide]:
    """A slide for each numbered equation, with the paragraph before it, each definition and each theorem."""
    found, section = [], place.section
    blocks = re.split(r"\n\s*\n", source)
    for before, block in zip(["", *blocks], blocks, strict=False):
        section = _first(r"^##+ (.*?)$", [block]) or section
        if tex := re.fullmatch(r"\$\$\n(.*)\n\$\$ \([\w-]+\)\s*", block, re.DOTALL):
            heading, text = re.fullmatch(r"(?:\*\*(.*?)\.?\*\*)?(.*)", before, re.DOTALL).groups()
            text = f"{_words(text)}\n\n$$\n{tex[1]}\n$$"
            if found and text[0].islower():  # the sentence goes on
                found[-1] = (found[-1][0], f"{found[-1][1]}\n\n{text}")
            else:
                found.append((heading or section, text))
    statements = r"^```\{prf:(?:definition|theorem|proposition|lemma)\} ?(.*?)\n(?::[^\n]*\n)*(.*?)^```$"
    found += re.findall(statements, source, re.MULTILINE | re.DOTALL)
    return [
        Slide(
            place.chapter,
            _inline(heading),
            f'<div class="equation">{markdown2html(_words(body))}</div>',
            look=120,
        )
        for heading, body in found
    ]


def _predictions(place: _Place, source: str) -> list[Slide]:
    """A slide for each question of the page that is asked before a figure; the figure answers it."""
    blocks = re.findall(r"^```\{predict\}[^\n]*\n(?::[^\n]*\n)*(.*?)^```$", source, re.MULTILINE | re.DOTALL)
    notes = ["Ask for a show of hands, and for a reason, before you go on. The page reveals the answer."]
    return [
        Slide(place.chapter, "Predict", f'<div class="equation">{markdown2html(_words(of))}</div>', notes)
        for of in blocks
    ]


def _inline(source: str) -> str:
    return markdown2html(_words(source)).strip().removeprefix("<p>").removesuffix("</p>")


# ---- figures and tables ----


def _figures(place: _Place, html: str, told: Mapping[str, list[str]], opening: str) -> Iterator[Slide]:
    """A slide for each figure of a cell; panels of one figure share it."""
    pictures: list[str] = []
    found: list[tuple[list[str], str]] = []
    for match in _SHOWN.finditer(html):
        if match["picture"]:
            pictures.append(match["picture"])
        elif pictures:
            found.append((pictures, match["caption"] or match["larger"]))
            pictures = []
    if pictures:
        found.append((pictures, ""))
    for panels, caption in found:
        heading = _heading(place, told)
        caption = re.sub("</?a[^>]*>", "", caption)
        shapes = [_shape(panel) for panel in panels]
        letters = len(_plain(heading)), len(_plain(caption))
        for part in _parts(shapes, letters):
            drawn, of = [_unsized(panels[i]) for i in part], [shapes[i] for i in part]
            _, beside, columns = _layout(of, letters)
            shape = max(w for w, _ in of) * columns / (max(h for _, h in of) * ceil(len(of) / columns))
            alts = " ".join(re.findall(r'(?:aria-label|alt)="([^"]*)"', "".join(drawn)))
            shows = "It shows: " + " ".join(dict.fromkeys(re.split(r"(?<=\.) ", alts)))
            body = f'<div class="shown {"beside" if beside else "below"}"{_mark(place)}>'
            style = f"--columns:{columns};--shape:{shape:.3f}"
            body += f'<div class="pictures" style="{style}">{"".join(drawn)}</div>'
            later = " fragment" * (place.section == _QUESTION)  # a caption may answer it
            body += f'<div class="caption{later}">{caption}</div></div>' if caption else "</div>"
            yield _slide(place, heading, body, [shows, caption, place.text, opening])


def _heading(place: _Place, told: Mapping[str, list[str]]) -> str:
    """What the box says of a place, once; nothing before the question has been asked."""
    known = [anchor for anchor in place.anchors if told.get(anchor)]
    return told[known[0]].pop(0) if known and place.section != _QUESTION else ""


def _slide(place: _Place, heading: str, body: str, notes: Sequence[str]) -> Slide:
    if heading:
        return Slide(f"{place.chapter} · {place.section}", heading, body, notes, told=True, look=90)
    return Slide(place.chapter, place.section, body, notes, look=90)


def _mark(place: _Place) -> str:
    """The place's label, where links of the box lead; of several slides with it the first is found."""
    return f' id="{place.anchors[-1]}"' if place.anchors else ""


def _shape(picture: str) -> tuple[float, float]:
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', picture)
    return (float(box[1]), float(box[2])) if box else (4.0, 3.0)


def _unsized(picture: str) -> str:
    """The picture without the sizes that it has on the page: a slide gives it the room that there is."""
    head, rest = picture.split(">", 1)
    return re.sub(r' style="[^"]*"', "", head) + ">" + rest


def _layout(shapes: Sequence[tuple[float, float]], letters: tuple[int, int]) -> tuple[float, bool, int]:
    """How panels become as large as they can: their scale, the caption beside them or below, their columns.

    letters: of the heading and of the caption.
    """
    height = _HEIGHT - 60 - 30 * ceil(letters[0] / 95)
    rooms = {False: (_WIDTH, height - 26 * ceil(letters[1] / 130)), True: (_WIDTH - 340, height)}

    def scale(beside: bool, columns: int) -> float:
        across, down = rooms[beside][0] / columns, rooms[beside][1] / ceil(len(shapes) / columns)
        return min(min(across / w, down / h) for w, h in shapes)

    return max((scale(beside, n), beside, n) for beside in rooms for n in range(1, len(shapes) + 1))


def _parts(shapes: Sequence[tuple[float, float]], letters: tuple[int, int]) -> list[range]:
    """Which panels share a slide: as many as can be read there, or as are no smaller than they are alone."""
    alone = min(_layout([shape], letters)[0] for shape in shapes)
    for count in range(1, len(shapes) + 1):
        size = ceil(len(shapes) / count)
        parts = [range(i, min(i + size, len(shapes))) for i in range(0, len(shapes), size)]
        scale = min(_layout([shapes[i] for i in part], letters)[0] for part in parts)
        if scale >= min(_READABLE, 0.99 * alone):
            break
    return parts


def _tables(place: _Place, html: str, told: Mapping[str, list[str]], opening: str) -> Iterator[Slide]:
    """A slide for each table of numbers that the box links to, if it fits."""
    for table in re.findall(r'<table class="cmp-table cmp-fold">.*?</table>', html, re.DOTALL):
        rows, columns = table.count("<tr>"), table.count('scope="col"')
        if any(told.get(anchor) for anchor in place.anchors) and rows <= 10 and columns <= 6:
            caption = _first("<caption>(.*?)</caption>", [table])
            body = f'<div class="cmp-scroll"{_mark(place)}>{table}</div>'
            yield _slide(place, _heading(place, told), body, [caption, place.text, opening])


# ---- pages of text ----


def _pages(chapter: str, title: str, rows: Sequence[tuple[str, float, str]], form: str) -> list[Slide]:
    """Slides of a long text: its rows as HTML, with the lines that each takes, and what is said of each.

    form: what stands around the rows, with {} for them.
    """
    filled = [_filled(rows, room) for room in range(1, _LINES + 1)]
    pages = next(of for of in filled if len(of) == len(filled[-1]))  # the last as full as the others
    several = len(pages) > 1
    return [
        Slide(
            chapter,
            title + f" ({i} of {len(pages)})" * several,
            form.format("".join(html for html, _, _ in page)),
            [note for _, _, note in page],
        )
        for i, page in enumerate(pages, 1)
    ]


def _filled(rows: Sequence[tuple[str, float, str]], room: float) -> list[list[tuple[str, float, str]]]:
    pages: list[list[tuple[str, float, str]]] = []
    for row in rows:
        if not pages or sum(lines for _, lines, _ in (*pages[-1], row)) > room:
            pages.append([])
        pages[-1].append(row)
    return pages


def _lines(text: str, letters: int) -> float:
    """The lines that a text takes at so many letters a line, and the gap below it."""
    return ceil(len(_plain(text)) / letters) + 0.5


def _found(chapter: str, items: Sequence[str]) -> list[Slide]:
    rows = [(f"<li>{item}</li>", _lines(item, 100), "") for item in items]
    return _pages(chapter, "What we found", rows, "<ul>{}</ul>")


def _verdicts(chapter: str, html: str) -> list[Slide]:
    """The claims and their verdicts; what each verdict rests on stands in the notes."""
    slides = []
    for table in re.findall("<table.*?</table>", html, re.DOTALL):
        if re.findall('scope="col">(.*?)<', table) != ["claim", "statement", "this run"]:
            continue
        counts, body = re.search("<b>(.*?)</b>.*<tbody>(.*)</tbody>", table, re.DOTALL).groups()
        rows = []
        for row in re.findall("<tr>(.*?)</tr>", body, re.DOTALL):
            name, statement, verdict = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
            badge, _, why = verdict.partition("<br>")
            cells = f'<tr><th scope="row">{name}</th><td>{statement}</td><td>{badge}</td></tr>'
            rows.append((cells, _lines(statement, 88), f"{name}: {_plain(badge)}. {_plain(why)}"))
        slides += _pages(chapter, counts.rstrip("."), rows, '<table class="rows">{}</table>')
    return slides


def _errata_slides(chapter: str, items: Sequence[errata.Erratum]) -> list[Slide]:
    """What is printed and what is right; how one knows, and what this book does, stand in the notes."""
    rows = []
    for item in items:
        printed, right, evidence, here = map(
            errata.html, (item.printed, item.right, item.evidence, item.here)
        )
        kind = errata.KINDS[item.kind]
        first = f'<th scope="row">{item.id}<br><small>{kind}</small></th>'
        cells = f"<tr>{first}<td>{printed}</td><td>{right}</td></tr>"
        lines = max(2.5, _lines(printed, 50), _lines(right, 50))
        rows.append((cells, lines, f"{item.id}. How one knows: {evidence} In this book: {here}"))
    head = "<thead><tr><th></th><th>printed</th><th>right</th></tr></thead>"
    return _pages(chapter, "Errata", rows, f'<table class="rows errata">{head}{{}}</table>')
