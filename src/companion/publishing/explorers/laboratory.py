"""The laboratory: a page that computes nets, gradients and attacks itself, and the nets a run leaves it.

Its scripts are book/_static/laboratory-engine.js and laboratory.js; book/_ext/laboratory.py places them.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from companion.files import write_atomic
from companion.publishing import paths
from companion.shown import Shown

#: The file of a run folder, and the chapter whose run leaves it.
FILE, CHAPTER = "laboratory-nets.js", "interpretation_regularization"
_SIDE, _LARGEST = 28, 4_000_000  # pixels; bytes of the file

_STILL = "The laboratory computes in this page: it needs JavaScript, and no network."
_NO_NETS = (
    '<div class="admonition warning"><p class="admonition-title">No nets yet</p>'
    f"<p>The laboratory shows nets for images of {_SIDE} × {_SIDE} pixels, which the first chapter leaves. "
    f"Run it with <code>companion run {CHAPTER}</code>, then build the book again.</p></div>"
)


def keep(folder: Path, plain: Mapping[str, Any], colour: Callable[[str], str], *, about: str) -> Shown:
    """Write the laboratory's file into a run's folder; a sentence that says what was kept, or why not.

    plain: what companion.experiment.portable returns. colour: the CSS colour of a net, by its name.
    about: one line for the page's foot: which images, which training.
    """
    nets = [
        {"name": name, "colour": colour(name), "layers": [_texts(layer) for layer in layers]}
        for name, layers in plain["nets"].items()
    ]
    content = {"side": plain["shape"][-1], "nets": nets, "labels": plain["labels"], "about": about}
    text = f"const laboratoryNets = {json.dumps(content | {'pictures': _text(plain['pictures'])})};\n"
    if problem := _problem(plain["shape"], len(text)):
        return Shown(f"<p>These nets are not in the laboratory: {problem}.</p>")
    write_atomic(folder / FILE, text)
    return Shown(f"<p>In the laboratory: {escape(', '.join(plain['nets']))} ({len(text) / 1e6:.1f} MB).</p>")


def _problem(shape: list[int], size: int) -> str:
    if shape != [1, _SIDE, _SIDE]:
        return f"their images have the shape {tuple(shape)}, its canvas has (1, {_SIDE}, {_SIDE})"
    return f"they would take {size / 1e6:.0f} MB, at most {_LARGEST / 1e6:.0f}" if size > _LARGEST else ""


def _texts(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _text(value) if isinstance(value, bytes) else value for key, value in layer.items()}


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def nets_file(profile: str) -> Path | None:
    """The file of the nets that a book of this profile shows: its own run's, else that of profile quick."""
    folders = (paths.runs_dir() / name / CHAPTER for name in (profile, "quick"))
    return next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)


def page(profile: str, static: str) -> str:
    """The laboratory's HTML, or a sentence where no run has left its nets. static: the way to _static."""
    if nets_file(profile) is None:
        return _NO_NETS
    scripts = "".join(
        f'<script src="{static}/{name}" defer></script>'
        for name in (FILE, "laboratory-engine.js", "laboratory.js")
    )
    sheet = f'<link rel="stylesheet" href="{static}/laboratory.css">'
    return f'{sheet}<div class="cmp-lab"><p>{_STILL}</p></div>{scripts}'
