"""The page of a chapter's run, built alone and measured in a browser: what reaches beyond the text's edge."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bs4 import BeautifulSoup

from tests.browser import opened
from tests.chapter import ROOT

# Opens every fold, then walks down the article; of nested elements the outermost is named. Listings of code
# may scroll, since their lines must not be broken. MathJax keeps a hidden copy of an equation for screen
# readers. An element one pixel wide is hidden from sight on purpose.
MEASURE = """(() => {
  const article = document.querySelector('article.bd-article'), {right} = article.getBoundingClientRect();
  article.querySelectorAll('.cmp-predict[data-told]').forEach(question => {
    question.querySelector('input').checked = true;
    question.querySelector('button.commit').click();
  });
  article.querySelectorAll('details').forEach(fold => { fold.open = true; });
  article.querySelectorAll('mjx-assistive-mml').forEach(copy => copy.remove());
  const found = [];
  const visit = element => {
    const box = element.getBoundingClientRect();
    if (element.matches('pre:not(.output:not(.text_html) pre)') || element.clientWidth === 1) return;
    const cut = (what, by, of = element) => found.push(
      `${of.localName}.${of.getAttribute('class') ?? ''} ${what} by ${Math.round(by)} px: `
      + of.textContent.trim().replace(/\\s+/g, ' ').slice(0, 60));
    if (box.width && box.right > right + 1) return cut('leaves the article', box.right - right);
    const over = element.scrollWidth - element.clientWidth;
    if (element.clientWidth && over > 1 && getComputedStyle(element).overflowX !== 'visible')
      return cut('is wider than its box', over);
    if (element.localName !== 'svg') return [...element.children].forEach(visit);
    element.querySelectorAll('text').forEach(text => {
      const edge = text.getBoundingClientRect(), out = Math.max(box.left - edge.left, edge.right - box.right);
      if (out > 1) cut('is cut by its figure', out, text);
    });
  };
  visit(article);
  return found;
})()"""


def built(run: Path, name: str, root: Path) -> Path:
    """The page of an executed copy in the folder `run`, in a site without other chapters, built in `root`."""
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("*.md", "__pycache__"))
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / f"notebooks/{name}.ipynb", root / "notebooks")
    (root / "runs/smoke" / name).mkdir(parents=True)
    for kept in ("executed.ipynb", "results.json"):
        shutil.copy(run / kept, root / "runs/smoke" / name)
    shutil.copy(ROOT / "_config.yml", root)
    (root / "_toc.yml").write_text(
        f"format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/{name}\n"
    )
    (root / "book/index.md").write_text("# Home\n")
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "--all"]
    environment = {**os.environ, "COMPANION_PROFILE": "smoke"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    page = root / f"_build/html/notebooks/{name}.html"
    assert page.is_file(), done.stdout + done.stderr
    return page


def waiting(page: Path) -> list[str]:
    """The questions of a page that its run leaves without an answer: their names."""
    soup = BeautifulSoup(page.read_text("utf-8"), "html.parser")
    return [str(of["id"]) for of in soup.select("section.cmp-predict") if of.select_one(".wait")]


def cut_off(page: Path, widths: list[int], folder: Path) -> list[str]:
    """What is cut off, or has to be scrolled sideways, in windows of these widths: a line each."""
    found = []
    with opened(page.as_uri(), folder) as browser:
        browser.wait("document.readyState === 'complete' && Boolean(window.MathJax?.startup?.promise)")
        browser.value("void MathJax.startup.promise.then(() => { document.typeset = true; })")
        browser.wait("document.typeset")
        for width in widths:
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=width < 500,
            )
            browser.wait(f"innerWidth === {width}")
            found += [f"{width} px: {line}" for line in browser.value(MEASURE)]
    return found
