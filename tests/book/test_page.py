"""What is cut off on a page is found, in a browser, and what may scroll is not."""

import pytest

from tests import page
from tests.browser import needs_browser

WIDE = '<div style="width: 900px">wide</div>'
FIGURE = '<svg width="100" height="20"><text x="{x}" y="15" font-size="10">words</text></svg>'


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (WIDE, "leaves the article by 400 px: wide"),
        (f'<div style="overflow-x: auto">{WIDE}</div>', "is wider than its box by 400 px"),
        (f'<div style="overflow: hidden">{WIDE}</div>', "is wider than its box by 400 px"),
        (f"<details>{WIDE}</details>", "leaves the article by 400 px"),
        (FIGURE.format(x=90), "text. is cut by its figure"),
        (FIGURE.format(x=10), None),
        (f'<pre style="overflow-x: auto">{WIDE}</pre>', None),
        (f'<div style="position: absolute; width: 1px; overflow: hidden">{WIDE}</div>', None),
    ],
)
def test_each_defect_is_named(tmp_path, body, said):
    file = tmp_path / "page.html"
    file.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><style>* { margin: 0 }</style>"
        "<script>MathJax = {startup: {promise: Promise.resolve()}}</script>"
        f'<article class="bd-article" style="width: 500px">{body}</article>'
    )
    found = page.cut_off(file, [600], tmp_path)
    assert found == [] if said is None else len(found) == 1 and said in found[0]
