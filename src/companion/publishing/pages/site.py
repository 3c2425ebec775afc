"""Check a built site: all pages there, all references leading to a file, nothing loaded from the network."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import urlopen

import yaml
from bs4 import BeautifulSoup, Tag

RUN_META = "companion:run"  # written into notebook pages by book/_ext/executed_copies.py
# Mime types that a page can show; an output that has none of them would be an empty box.
SHOWN_MIME = {
    "application/javascript",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/svg+xml",
    "text/html",
    "text/latex",
    "text/markdown",
    "text/plain",
}
# Attributes by which a page loads something, as against linking to it.
LOADING = {
    "script": ["src"],
    "img": ["src", "srcset"],
    "source": ["src", "srcset"],
    "video": ["src", "poster"],
    "audio": ["src"],
    "track": ["src"],
    "iframe": ["src"],
    "embed": ["src"],
    "object": ["data"],
    "image": ["href", "xlink:href"],
    "input": ["src"],
}
LOADING_RELS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "modulepreload",
    "preconnect",
    "manifest",
    "apple-touch-icon",
}
CSS_REFERENCE = re.compile(
    r"""url\(\s*(?P<q>["']?)(?P<url>.*?)(?P=q)\s*\)|@import\s+["'](?P<imported>[^"']+)["']"""
)
# An address that inline code hands to something that loads it at once.
SCRIPT_LOAD = re.compile(
    r"""(?:\.src\s*=|\.href\s*=|import\s*\(?|fetch\s*\(|\bfrom)\s*["'`](https?:)?//([^/"'`]+)"""
)


def problems(html_dir: Path, root: Path) -> list[str]:
    """Return one line for each defect of the site in `html_dir`, built from the checkout `root`; [] if sound.

    Raises FileNotFoundError when there is no site at all.
    """
    html_dir, root = Path(html_dir).resolve(), Path(root).resolve()
    if not html_dir.is_dir():
        raise FileNotFoundError(f"no built site in {html_dir}: run `companion build` first")
    for remembered in (
        _soup,
        _anchors,
        _sheet_problems,
    ):  # the site may have been built anew since the last call
        remembered.cache_clear()
    found = [] if (html_dir / "index.html").is_file() else ["index.html: missing, the site has no front door"]
    for docname in toc_pages(root / "_toc.yml"):
        found += _page_problems(html_dir, root, docname)
    for page in built_pages(html_dir):
        found += _reference_problems(html_dir, page)
    return list(dict.fromkeys(found))  # a defect of a shared style sheet is met on every page


def published_problems(html_dir: Path, address: str, wait_s: float = 10) -> list[str]:
    """Return one line for each file of the built site that `address` does not serve as it is; [] if sound.

    address: http or https, where the site's front page is. wait_s: before a file is asked for again, five
    times in all: a host may serve the old site for a minute.
    """
    found = []
    for path in sorted(p for p in html_dir.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = path.relative_to(html_dir).as_posix()
        for attempt in range(5):
            said = _served(f"{address.rstrip('/')}/{quote(name)}", path)
            if not said:
                break
            if attempt < 4 and not found:  # once one file stays wrong, nobody waits for the others
                time.sleep(wait_s)
        if said:
            found.append(f"{name}: {said}")
    return found


def _served(url: str, path: Path) -> str:
    """What is wrong with the answer to a request for a file of the site; empty if nothing is."""
    try:
        with urlopen(url, timeout=30) as answer:
            got = answer.read()
    except HTTPError as error:
        return f"{url} answers {error.code}"
    except (URLError, OSError) as error:
        return f"{url} does not answer ({error})"
    same = hashlib.sha256(got).digest() == hashlib.sha256(path.read_bytes()).digest()
    return "" if same else f"{url} serves another file"


def built_pages(html_dir: Path) -> list[Path]:
    """Return the HTML files that are pages, not templates among the theme's static files."""
    skipped = {"_static", "_sources", "_downloads"}
    pages = html_dir.rglob("*.html")
    return sorted(page for page in pages if not skipped & set(page.relative_to(html_dir).parts))


def toc_pages(toc: Path) -> list[str]:
    """Return the documents that _toc.yml names, root first, without suffix."""

    def walk(node) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (str(node[key]) for key in ("root", "file") if key in node)
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    pages = walk(yaml.safe_load(toc.read_text("utf-8")))
    return [re.sub(r"\.(md|ipynb|rst)$", "", page) for page in pages]


def source_title(root: Path, docname: str) -> str | None:
    """Return the first Markdown heading of a document's source, None when it has none."""
    notebook = root / f"{docname}.ipynb"
    if notebook.is_file():
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    else:
        text = (root / f"{docname}.md").read_text("utf-8")
    heading = re.search(r"^# +(.+?)\s*$", text, flags=re.MULTILINE)
    return heading.group(1) if heading else None


def _page_problems(html_dir: Path, root: Path, docname: str) -> list[str]:
    """Is the page there, with its title, and with the results of a complete run?"""
    page = html_dir / f"{docname}.html"
    name = f"{docname}.html"
    if not page.is_file():
        return [f"{name}: missing, though _toc.yml names {docname}"]
    soup, found = _soup(page), []
    try:
        title = source_title(root, docname)
    except FileNotFoundError:
        title = None
        found.append(f"{name}: _toc.yml names {docname}, which has no source file")
    heading = soup.find("h1")
    if title and (heading is None or _plain(title) not in _plain(heading.get_text())):
        shown = heading.get_text(" ", strip=True) if heading else "nothing"
        found.append(f"{name}: the title is {shown!r}, its source says {title!r}")

    if soup.select_one(".cell_output .traceback, .output.traceback"):
        found.append(f"{name}: a cell shows an error")
    if soup.find(id="papermill-error-cell") or "An Exception was encountered at" in soup.get_text():
        found.append(f"{name}: papermill's error cell, the run failed")
    if (root / f"{docname}.ipynb").is_file():
        meta = soup.find("meta", attrs={"name": RUN_META})
        profile = meta["content"] if isinstance(meta, Tag) else "none"
        executed = root / "runs" / profile / Path(docname).name / "executed.ipynb"
        if profile == "none" or not executed.is_file():
            found.append(
                f"{name}: shown without results, no executed copy; run `companion run {Path(docname).name}`"
            )
        else:
            found += [f"{name}: {defect}" for defect in notebook_problems(executed)]
    return found


def notebook_problems(executed: Path) -> list[str]:
    """Return what a page may hide of an executed notebook: errors, cells not run, outputs it cannot show."""
    notebook, found = json.loads(executed.read_text("utf-8")), []
    for number, cell in enumerate(notebook["cells"], 1):
        if "papermill-error-cell-tag" in cell["metadata"].get("tags", []):
            found.append(f"cell {number}: papermill's error cell, the run failed")
        if cell["cell_type"] != "code":
            continue
        if "".join(cell["source"]).strip() and cell["execution_count"] is None:
            found.append(f"cell {number}: was not executed")
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"cell {number}: {output['ename']}: {output['evalue']}")
            elif "data" in output and output["data"] and not SHOWN_MIME & set(output["data"]):
                found.append(
                    f"cell {number}: the output is only {', '.join(output['data'])}, a page cannot show it"
                )
    return found


def _reference_problems(html_dir: Path, page: Path) -> list[str]:
    """Does everything the page loads or links to exist, and does it load from no other host?"""
    soup, name = _soup(page), page.relative_to(html_dir).as_posix()
    found = []
    for url, what in _loaded(soup):
        if _is_external(url):
            found.append(f"{name}: {what} is loaded from another host, {url}")
        elif (defect := _missing(html_dir, page, url)) is not None:
            found.append(f"{name}: {what} {defect}")
    links = [link["href"] for link in soup.find_all(["a", "area"], href=True)]
    for meta in soup.find_all("meta", attrs={"http-equiv": re.compile("^refresh$", re.IGNORECASE)}):
        links.append(meta["content"].partition("=")[2])  # "0; url=book/index.html"
    for url in links:
        if not _is_external(url) and (defect := _missing(html_dir, page, url)) is not None:
            found.append(f"{name}: link {defect}")
    for sheet in soup.find_all("link", rel="stylesheet", href=True):
        if not _is_external(sheet["href"]) and (file := _target(page, sheet["href"])).is_file():
            found += _sheet_problems(html_dir, file)
    return found


def _loaded(soup: BeautifulSoup) -> Iterator[tuple[str, str]]:
    """Yield what a page loads: (address, what it is)."""
    for tag in soup.find_all(True):
        for attribute in LOADING.get(tag.name, []):
            if value := tag.get(attribute):
                urls = (
                    [part.split()[0] for part in value.split(",") if part.strip()]
                    if attribute == "srcset"
                    else [value]
                )
                yield from ((url, tag.name) for url in urls)
        if tag.name == "link" and LOADING_RELS & {rel.lower() for rel in tag.get("rel", [])}:
            yield tag.get("href", ""), "link"
        if tag.get("style"):
            yield from ((url, "style") for url in _css_urls(tag["style"]))
        if tag.name == "style":
            yield from ((url, "style") for url in _css_urls(tag.get_text()))
        if tag.name == "script" and not tag.get("src"):
            yield from ((f"//{match.group(2)}", "script") for match in SCRIPT_LOAD.finditer(tag.get_text()))


def _css_urls(css: str) -> list[str]:
    return [match["url"] or match["imported"] or "" for match in CSS_REFERENCE.finditer(css)]


@cache
def _sheet_problems(html_dir: Path, sheet: Path) -> tuple[str, ...]:
    """The same questions for a style sheet; the answer is kept, all pages share their sheets."""
    name, found = sheet.relative_to(html_dir).as_posix(), []
    for url in _css_urls(sheet.read_text("utf-8")):
        if _is_external(url):
            found.append(f"{name}: style is loaded from another host, {url}")
        elif (defect := _missing(html_dir, sheet, url)) is not None:
            found.append(f"{name}: style {defect}")
    return tuple(found)


def _is_external(url: str) -> bool:
    parts = urlsplit(url.strip())
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ftp")


def _missing(html_dir: Path, origin: Path, url: str) -> str | None:
    """Return what is wrong with a local reference in the file `origin`; None when it leads somewhere."""
    url = url.strip()
    parts = urlsplit(url)
    if parts.scheme or url in (
        "",
        "#",
    ):  # data:, mailto:, javascript: load no file; "#" is the top of the page
        return None
    if parts.path.startswith("/"):
        return f"{url} starts at the server's root, which is not where the site need lie"
    target = _target(origin, url)
    if not target.is_relative_to(html_dir):
        return f"{url} leads out of the site"
    if target.is_dir():
        return f"{url} is a folder, which a page opened from disk shows as a listing"
    if not target.is_file():
        return f"{url} does not exist"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _anchors(target):
        return f"{url} has no place called #{unquote(parts.fragment)}"
    return None


def _target(origin: Path, url: str) -> Path:
    path = unquote(urlsplit(url.strip()).path)
    return (origin.parent / path).resolve() if path else origin


def _plain(text: str) -> str:
    """Letters and digits only: a title compares equal with or without markup, dollar signs and numbering."""
    return re.sub(r"[\W_]+", "", text).lower()


@cache
def _soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text("utf-8"), "html.parser")


@cache
def _anchors(page: Path) -> frozenset[str]:
    soup = _soup(page)
    named = {tag["name"] for tag in soup.find_all("a", attrs={"name": True})}
    return frozenset(named | {tag["id"] for tag in soup.find_all(id=True)})
