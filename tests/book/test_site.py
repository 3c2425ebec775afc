"""companion.publishing.pages.site on a tiny site: clean as written, and each planted defect is named."""

import json
import re
from pathlib import Path

import pytest

from companion.publishing.pages import site

TOC = "format: jb-book\nroot: book/index\nparts:\n  - chapters:\n      - file: notebooks/alpha\n"
HOME = """<html><head><title>Home</title><link rel="stylesheet" href="../_static/own.css?digest=1"/>
<link rel="canonical" href="https://example.org/book/"/></head>
<body><h1 id="home">The home<a class="headerlink" href="#home">#</a></h1>
<a href="https://example.org">elsewhere</a> <a href="#">top</a> <a href="mailto:x@example.org">mail</a>
<a href="../notebooks/alpha.html#a-place">there</a>
<img src="../_static/dot.png"/><img src="data:image/png;base64,AAAA"/></body></html>"""
CHAPTER = """<html><head><title>1. Alpha</title><meta name="companion:run" content="quick"></head>
<body>
<h1><span class="section-number">1. </span>Alpha and \\(\\ell_2\\)
<a class="headerlink" href="#a-place">#</a></h1>
<p id="a-place">text</p><div class="cell_output"><div class="output text_plain">2</div></div></body></html>"""


def notebook(outputs=(), execution_count=1, tags=()):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["Words first.\n", "# Alpha and $\\ell_2$\n"]},
        {
            "cell_type": "code",
            "metadata": {"tags": list(tags)},
            "source": "1 + 1",
            "execution_count": execution_count,
            "outputs": list(outputs),
        },
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def built(tmp_path):
    """A checkout with one hand-written page, one notebook that was run, and its site without defects."""
    files = {
        "_toc.yml": TOC,
        "book/index.md": "# The home\n",
        "notebooks/alpha.ipynb": notebook(execution_count=None),
        "runs/quick/alpha/executed.ipynb": notebook(),
        "_build/html/index.html": '<html><body><a href="book/index.html">in</a></body></html>',
        "_build/html/book/index.html": HOME,
        "_build/html/notebooks/alpha.html": CHAPTER,
        "_build/html/_static/own.css": "p { background: url('dot.png') } i { background: url(data:x) }",
        "_build/html/_static/dot.png": "",
        # What the theme leaves among its static files is no page.
        "_build/html/_static/macros.html": '<img src="{{ nowhere }}">',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def problems(root: Path) -> list[str]:
    return site.problems(root / "_build" / "html", root)


def edit(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text("utf-8")
    assert old in text
    (root / name).write_text(text.replace(old, new), "utf-8")


def test_a_sound_site_has_no_problems(built):
    assert problems(built) == []


def test_no_site_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="companion build"):
        problems(tmp_path)


HOME_PAGE, CHAPTER_PAGE = "_build/html/book/index.html", "_build/html/notebooks/alpha.html"


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ('<img src="gone.png">', r"img gone\.png does not exist"),
        ('<img srcset="../_static/dot.png 1x, gone.png 2x">', r"img gone\.png does not exist"),
        ('<script src="gone.js"></script>', r"script gone\.js does not exist"),
        ('<a href="gone.html">x</a>', r"link gone\.html does not exist"),
        ('<meta http-equiv="Refresh" content="0; url=gone.html">', r"link gone\.html does not exist"),
        ('<a href="../notebooks/alpha.html#gone">x</a>', r"no place called #gone"),
        ('<a href="#gone">x</a>', r"no place called #gone"),
        ('<a href="../notebooks">x</a>', r"is a folder"),
        ('<a href="/book/index.html">x</a>', r"server's root"),
        ('<a href="../../../_toc.yml">x</a>', r"leads out of the site"),
        (
            '<script src="https://cdn.example.org/m.js"></script>',
            r"script is loaded from another host, https://cdn",
        ),
        ('<script src="//cdn.example.org/m.js"></script>', r"script is loaded from another host"),
        ('<link rel="stylesheet" href="https://x.example.org/a.css">', r"link is loaded from another host"),
        ('<link rel="preconnect" href="https://x.example.org">', r"link is loaded from another host"),
        ('<img src="https://x.example.org/a.png">', r"img is loaded from another host"),
        ('<iframe src="http://x.example.org"></iframe>', r"iframe is loaded from another host"),
        ('<p style="background: url(https://x.example.org/a.png)">', r"style is loaded from another host"),
        ("<style>@import 'https://x.example.org/a.css';</style>", r"style is loaded from another host"),
        ('<script>s.src = "https://x.example.org/a.js"</script>', r"script is loaded from another host"),
        ('<script>import("https://x.example.org/a.js")</script>', r"script is loaded from another host"),
    ],
)
def test_bad_references_are_named(built, body, reported):
    edit(built, HOME_PAGE, "</body>", body + "</body>")
    (line,) = problems(built)
    assert line.startswith("book/index.html: ")
    assert re.search(reported, line)


@pytest.mark.parametrize("rule", ["url(https://x.example.org/font.woff2)", "url('gone.woff2')"])
def test_bad_references_in_a_style_sheet_are_named_once(built, rule):
    edit(built, "_build/html/_static/own.css", "p {", f"b {{ src: {rule} }} p {{")
    edit(built, CHAPTER_PAGE, "</head>", '<link rel="stylesheet" href="../_static/own.css"/></head>')
    (line,) = problems(built)
    assert line.startswith("_static/own.css: style")


def test_missing_page(built):
    (built / CHAPTER_PAGE).unlink()
    assert any("alpha.html: missing, though _toc.yml names" in line for line in problems(built))


def test_missing_front_door(built):
    (built / "_build/html/index.html").unlink()
    assert problems(built) == ["index.html: missing, the site has no front door"]


def test_page_of_another_title(built):
    edit(built, HOME_PAGE, "The home<", "Something else<")
    (line,) = problems(built)
    assert "Something else" in line and "The home" in line


@pytest.mark.parametrize(
    "body",
    [
        '<div class="cell_output"><div class="output traceback">ValueError</div></div>',
        '<p id="papermill-error-cell">x</p>',
        "<p>An Exception was encountered at 'In [3]'.</p>",
    ],
)
def test_error_shown_on_a_page(built, body):
    edit(built, CHAPTER_PAGE, "</body>", body + "</body>")
    (line,) = problems(built)
    assert line.startswith("notebooks/alpha.html: ")


def test_notebook_shown_without_results(built):
    edit(built, CHAPTER_PAGE, 'content="quick"', 'content="none"')
    (line,) = problems(built)
    assert "companion run alpha" in line


def test_executed_copy_that_is_gone(built):
    (built / "runs/quick/alpha/executed.ipynb").unlink()
    (line,) = problems(built)
    assert "no executed copy" in line


@pytest.mark.parametrize(
    ("executed", "reported"),
    [
        (notebook(execution_count=None), "cell 2: was not executed"),
        (
            notebook([{"output_type": "error", "ename": "ValueError", "evalue": "eps", "traceback": []}]),
            "ValueError: eps",
        ),
        (notebook(tags=["papermill-error-cell-tag"]), "papermill's error cell"),
        (
            notebook(
                [
                    {
                        "output_type": "display_data",
                        "data": {"application/vnd.plotly.v1+json": {}},
                        "metadata": {},
                    }
                ]
            ),
            "only application/vnd.plotly",
        ),
    ],
)
def test_defects_of_the_executed_copy(built, executed, reported):
    (built / "runs/quick/alpha/executed.ipynb").write_text(executed, "utf-8")
    (line,) = problems(built)
    assert reported in line
