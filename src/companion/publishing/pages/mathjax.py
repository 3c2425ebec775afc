"""MathJax beside pages that must not ask the network for it."""

import shutil
from importlib.metadata import distribution
from pathlib import Path

# The part of MathJax that TeX input with HTML output can ask for: 2.3 MB of the package's 24 MB.
_PARTS = ["tex-mml-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2"]


def copy(place: Path) -> None:
    """Copy what a page needs of MathJax, out of sphinx-mathjax-offline, into the folder `place`."""
    package = distribution("sphinx-mathjax-offline")
    origin = Path(package.locate_file("sphinx-mathjax-offline/static/mathjax"))
    for part in _PARTS:
        target = place / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (origin / part).is_dir():
            shutil.copytree(origin / part, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(origin / part, target)
    # The package carries no licence text, so ours names the terms beside the copy (Apache-2.0, section 4).
    shutil.copyfile(Path(__file__).with_name("mathjax-license.txt"), place / "LICENSE.txt")
