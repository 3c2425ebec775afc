"""The Sphinx extension that shows executed copies, alone and in a real build of a two-page book."""

import importlib.util
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from companion.publishing.pages import site
from tests.book import small_book
from tests.browser import needs_browser, opened

ROOT = Path(__file__).parents[2]
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def extension():
    spec = importlib.util.spec_from_file_location("executed_copies", ROOT / "book/_ext/executed_copies.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(extension, *outputs, tags=()):
    """The code cell as the page gets it."""
    cell = new_code_cell("x = 1", metadata={"tags": list(tags)}, outputs=list(outputs), execution_count=1)
    notebook = new_notebook(cells=[new_markdown_cell("# A"), cell], metadata={"widgets": {"state": {}}})
    prepared = extension.prepare(notebook)
    assert "widgets" not in prepared["metadata"]
    assert "outputs" not in prepared["cells"][0]
    return prepared["cells"][1]


def test_injected_parameters_are_folded(extension):
    assert shown(extension, tags=["injected-parameters"])["metadata"]["tags"] == [
        "injected-parameters",
        "hide-input",
    ]
    assert shown(extension, tags=["parameters"])["metadata"]["tags"] == ["parameters"]


@pytest.mark.parametrize(
    ("source", "tags", "says"),
    [
        ("x = 1", [], "Show source, 1 line"),
        ("from a import b\n\nb()", [], "Show imports and setup, 3 lines"),
        ("imported = 1", [], "Show source, 1 line"),
        ("def f():\n    def inner():\n        pass\n\nclass C:\n    pass", [], "Show source: f, C; 6 lines"),
        ("\n".join(f"def f{i}(): pass" for i in range(4)), [], "Show source: f0, f1, f2, …; 4 lines"),
        ("eps = 1", ["parameters"], "Show the parameters and their meaning"),
        ("eps = 1", ["injected-parameters"], "Show the parameters of this run"),
    ],
)
def test_a_fold_says_what_it_hides(extension, source, tags, says):
    cell = new_code_cell(source, metadata={"tags": tags})
    labels = extension.prepare(new_notebook(cells=[cell]))["cells"][0]["metadata"]["mystnb"]
    assert labels["code_prompt_show"] == says
    assert labels["code_prompt_hide"] == says.replace("Show", "Hide")


@pytest.mark.parametrize(
    ("source", "tags"), [("from a import b\n\nb()", ["hide-input"]), ("imported = 1", [])]
)
def test_imports_are_folded_and_nothing_else(extension, source, tags):
    assert (
        extension.prepare(new_notebook(cells=[new_code_cell(source)]))["cells"][0]["metadata"]["tags"] == tags
    )


def test_a_widget_leaves_its_picture_or_nothing(extension):
    bare = new_output("display_data", data={WIDGET: {}, "text/plain": "IntSlider()"})
    pictured = new_output("display_data", data={WIDGET: {}, "text/plain": "VBox()", "image/png": "AAAA"})
    plain = new_output("stream", text="hello")
    assert shown(extension, bare, plain)["outputs"] == [plain]
    assert shown(extension, pictured)["outputs"][0]["data"] == {"image/png": "AAAA"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the book's settings with a page and two chapters, built: `alpha` was run, `beta` was not."""
    root = tmp_path_factory.mktemp("checkout")
    for stray in (".pytest_cache", "benchmarks", "runs/smoke/.alpha.tmp"):  # none of these is a page
        (root / stray).mkdir(parents=True)
        (root / stray / "README.md").write_text("# Stray\n")
    home = "# Home\n\nSee {doc}`../notebooks/alpha`.\n"
    small_book.build(root, {"alpha": "$x^2$", "beta": "$x^2$"}, ran="alpha", output="the-output", home=home)
    return root


def page_of(checkout, name):
    return BeautifulSoup((checkout / f"_build/html/notebooks/{name}.html").read_text("utf-8"), "html.parser")


@pytest.mark.slow
def test_the_executed_copy_is_the_page_and_nothing_comes_from_the_network(checkout):
    html, page = checkout / "_build/html", page_of(checkout, "alpha")
    assert "the-output" in page.select_one(".cell_output").get_text()
    assert page.find("meta", attrs={"name": "companion:run"})["content"] == "smoke"
    assert not any(
        "unpkg" in str(script) or "THEBE_JS_URL" in str(script) for script in page.find_all("script")
    )
    assert any("mathjax/tex-mml-chtml.js" in script.get("src", "") for script in page.find_all("script"))
    assert "Apache License" in (html / "_static/mathjax/LICENSE.txt").read_text("utf-8")
    assert "the-output" not in (html / "_sources/notebooks/alpha.ipynb").read_text(
        "utf-8"
    )  # the download is the clean notebook
    assert page.find("a", href=lambda href: href and "blob/main/notebooks/alpha.ipynb" in href)


@pytest.mark.slow
def test_every_page_says_what_it_may_load_before_it_loads_anything(checkout, extension):
    for path in (checkout / "_build/html").glob("[bn]*/*.html"):
        page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
        assert policy["content"] == extension.POLICY and "http" not in extension.POLICY
        assert policy.find_previous(["script", "link", "style", "img"]) is None, path


@needs_browser
@pytest.mark.slow
def test_a_page_under_its_policy_shows_its_equation_and_loads_nothing_from_elsewhere(checkout, tmp_path):
    path = checkout / "_build/html/notebooks/alpha.html"
    elsewhere = '<img src="http://127.0.0.1:1/x.png"><script src="http://127.0.0.1:1/x.js"></script>'
    watch = "<script>document.refused = []; addEventListener('securitypolicyviolation', "
    watch += "e => document.refused.push(e.blockedURI));</script>"
    text = (
        path.read_text("utf-8")
        .replace("<body", f"{watch}<body", 1)
        .replace("</article>", f"{elsewhere}</article>", 1)
    )
    copied = path.with_name("elsewhere.html")  # beside its page, whose links to the site are relative
    copied.write_text(text, "utf-8")
    try:
        with opened(copied.as_uri(), tmp_path) as page:
            page.wait("document.querySelectorAll('mjx-container').length")  # MathJax, from the site itself
            refused = page.wait("document.refused.length > 1 && document.refused")
    finally:
        copied.unlink()
    assert sorted(refused) == ["http://127.0.0.1:1/x.js", "http://127.0.0.1:1/x.png"]


@pytest.mark.slow
def test_a_notebook_that_was_not_run_says_so(checkout):
    page = page_of(checkout, "beta")
    assert "companion run beta --profile smoke" in page.select_one(".admonition.warning").get_text()
    found = site.problems(checkout / "_build/html", checkout)
    assert len(found) == 1 and "beta" in found[0] and "no executed copy" in found[0], found
