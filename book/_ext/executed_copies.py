"""Show executed copies of notebooks, and keep every page free of the network.

`_toc.yml` names the clean notebooks, so links to Colab and to the repository lead to files that git has.
Where Sphinx reads `notebooks/NAME`, this extension hands it `runs/PROFILE/NAME/executed.ipynb`. PROFILE is
the environment variable COMPANION_PROFILE, or `quick`. A notebook without an executed copy is shown without
results, and says so.
"""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path

from companion.publishing.pages import mathjax

RUN_META = (
    "companion:run"  # <meta name> that says which run a page shows; companion.publishing.pages.site reads it
)
# What a page may load: its own site, and what is written inside it.
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
IMPORTS = re.compile("import |from ")

NOT_RUN = """\
```{{warning}}
This page shows the notebook **without its results**: it has not been run in profile `{profile}`.
Run it with `companion run {name} --profile {profile}`, then build the book again.
```
"""


def executed_path(root: Path, profile: str, docname: str) -> Path:
    """Where the runner leaves the executed copy of the notebook `docname` ("notebooks/NAME")."""
    return root / "runs" / profile / Path(docname).name / "executed.ipynb"


def prepare(notebook: dict) -> dict:
    """Return the executed notebook as a page shows it: no outputs of widgets; what a run injects, and
    imports, folded, so that a reader meets the chapter's first picture first."""
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        tags = cell["metadata"].setdefault("tags", [])
        folded = "injected-parameters" in tags or IMPORTS.match(_text(cell))
        if folded and "hide-input" not in tags:
            tags.append("hide-input")
        cell["outputs"] = [output for output in map(_without_widget, cell["outputs"]) if output is not None]
        what = _content(_text(cell), tags)
        cell["metadata"]["mystnb"] = {
            f"code_prompt_{verb}": f"{verb.capitalize()} {what}" for verb in ("show", "hide")
        } | cell["metadata"].get("mystnb", {})
    return notebook


def _text(cell: dict) -> str:
    """The source of a cell, which nbformat keeps as a text or as a list of lines."""
    return "".join(cell["source"])


def _content(source: str, tags: list[str]) -> str:
    """What the fold of a code cell says that it hides: its functions, its imports, or how long it is."""
    if "parameters" in tags:
        return "the parameters and their meaning"
    if "injected-parameters" in tags:
        return "the parameters of this run"
    names = re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE)
    lines = source.count("\n") + 1
    size = f"{lines} line{'s' * (lines > 1)}"
    if not names:
        return f"{'imports and setup' if IMPORTS.match(source) else 'source'}, {size}"
    return f"source: {', '.join(names[:3])}{', …' * (len(names) > 3)}; {size}"


def _without_widget(output: dict) -> dict | None:
    """Drop the live view of an ipywidget; a picture or HTML shown with it stays, its bare text does not."""
    data = output.get("data", {})
    if WIDGET_MIME not in data:
        return output
    rest = {mime: value for mime, value in data.items() if mime not in (WIDGET_MIME, "text/plain")}
    return {**output, "data": rest} if rest else None


def _without_results(notebook: dict, profile: str, name: str) -> dict:
    """Return the clean notebook with a warning below its title."""
    warning = {"cell_type": "markdown", "metadata": {}, "source": NOT_RUN.format(profile=profile, name=name)}
    if notebook.get("nbformat_minor", 0) >= 5:
        warning["id"] = "not-run"
    notebook["cells"].insert(1, warning)
    return notebook


def show_executed(app, docname: str, source: list[str]) -> None:
    """Replace the source of a notebook page by its executed copy."""
    if not docname.startswith("notebooks/"):
        return
    path = executed_path(Path(app.srcdir), app.config.companion_profile, docname)
    if path.is_file():
        app.env.note_dependency(str(path))
        source[0] = json.dumps(prepare(json.loads(path.read_text("utf-8"))))
    else:
        clean = json.loads(source[0])
        source[0] = json.dumps(_without_results(clean, app.config.companion_profile, Path(docname).name))


def finish_page(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Drop thebe, whose script sits on a CDN; write what the page may load, and which run it shows."""
    context["script_files"] = [script for script in context.get("script_files", []) if not _is_thebe(script)]
    metas = [f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">']
    if pagename.startswith("notebooks/"):
        profile = app.config.companion_profile
        run = profile if executed_path(Path(app.srcdir), profile, pagename).is_file() else "none"
        metas.append(f'<meta name="{RUN_META}" content="{html.escape(run)}">')
    context["metatags"] = "\n".join([context.get("metatags", ""), *metas])


def _is_thebe(script) -> bool:
    body = getattr(script, "attributes", {}).get("body") or ""
    return "THEBE_JS_URL" in body or "thebe" in str(getattr(script, "filename", script))


def copy_mathjax(app, exception: Exception | None) -> None:
    """Copy what the site needs of MathJax into it."""
    if exception is None and app.builder.format == "html":
        mathjax.copy(Path(app.outdir) / "_static" / "mathjax")


def setup(app) -> dict:
    app.add_config_value("companion_profile", os.environ.get("COMPANION_PROFILE", "quick"), "env")
    app.connect("source-read", show_executed)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
