"""Sliders and choices over precomputed pictures: interaction with no kernel, no network, from a file too."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from itertools import product

from companion.shown import Shown

#: PNG bytes, one dot for one pixel of an image, drawn enlarged; or HTML such as an inline SVG, as text or as
#: an object a notebook would show (what `plots.show` returns).
Picture = bytes | str | Shown
#: Pictures by label, and numbers, already written, by label.
Frame = tuple[Mapping[str, Picture], Mapping[str, str]]

# It stands below every explorer, for Jupyter and Colab may show an output alone; below the second one of a
# page it finds the first already set up.
_SCRIPT = """
document.querySelectorAll('.cmp-explorer:not([data-live])').forEach(root => {
  const {values, pictures, frames} = JSON.parse(root.querySelector('script').textContent);
  const form = root.querySelector('form'), slots = root.querySelectorAll('.slot');
  const numbers = root.querySelectorAll('dd');
  const show = () => {
    const state = new FormData(form), chosen = values.map((_, i) => +state.get('c' + i));
    form.querySelectorAll('[type=range]').forEach(range => {
      const text = values[+range.name.slice(1)][range.value];
      range.setAttribute('aria-valuetext', text);
      range.nextElementSibling.textContent = text;
    });
    const [shown, texts] = frames[chosen.reduce((index, k, i) => index * values[i].length + k, 0)];
    shown.forEach((p, i) => {
      const img = slots[i].querySelector(':scope > img');
      if (img) img.src = 'data:image/png;base64,' + pictures[p]; else slots[i].innerHTML = pictures[p];
    });
    texts.forEach((text, i) => { numbers[i].textContent = text; });
  };
  form.addEventListener('input', show);
  form.addEventListener('submit', event => event.preventDefault());
  root.querySelector('.still').hidden = true;
  form.hidden = false;
  root.dataset.live = '';
  show();
});
"""


def frames(
    controls: Mapping[str, Sequence[float] | Sequence[str]],
    frames: Mapping[tuple, Frame],
    *,
    caption: str,
    start: tuple = (),
) -> Shown:
    """Controls over frames: for every combination of their values, some pictures and numbers.

    controls: the values of each control by its label; numbers get a slider, texts a row of choices.
    frames: by the tuple of values, in the order of `controls`, the pictures and numbers to show; all frames
    have the same labels. start: the frame shown first, and the only one without JavaScript; default: the
    first. caption: HTML, what is seen here; it also names the explorer to screen readers.

    A picture that several frames share is stored once. Raises ValueError for a control without values, a
    combination without a frame or a frame without a combination, and labels or kinds of pictures that differ.
    """
    for label, values in controls.items():
        if not values or len(set(values)) < len(values):
            raise ValueError(
                f"control {label!r} has the values {list(values)}; expected at least one, each once"
            )
    places = list(product(*controls.values()))
    for place in (*places, *frames):
        if place not in frames or place not in places:
            what = "no frame" if place in places else "a frame, which no position of the controls shows"
            raise ValueError(f"{place} has {what}; give one frame for each of the {len(places)} combinations")
    start = start or places[0]
    if start not in frames:
        raise ValueError(f"start={start} has no frame; expected a combination such as {places[0]}")
    for place in places:
        if (shape := _shape(frames[place])) != _shape(frames[start]):
            raise ValueError(f"the frame {place} has {shape}, the frame {start} {_shape(frames[start])}")

    stored: dict[str, int] = {}  # dicts keep their order: every picture once, by its position
    rows = [
        [[stored.setdefault(_stored(p), len(stored)) for p in pictures.values()], list(numbers.values())]
        for pictures, numbers in (frames[place] for place in places)
    ]
    shown = [[_text(value) for value in values] for values in controls.values()]
    data = json.dumps({"values": shown, "pictures": list(stored), "frames": rows}, separators=(",", ":"))
    data = data.replace("</", r"<\/").replace("<!--", r"\u003c!--")  # the same JSON, safe inside a script tag
    inputs = [
        _control(f"c{i}", label, list(values), list(values).index(start[i]))
        for i, (label, values) in enumerate(controls.items())
    ]
    pictures, numbers = frames[start]
    terms = [f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in numbers.items()]
    where = ", ".join(f"{label} {_text(value)}" for label, value in zip(controls, start, strict=True))
    still = (
        f"Shown: {where}. The controls for the other {len(places) - 1} positions need JavaScript, no network."
    )
    return Shown(
        f'<figure class="cmp-explorer" role="group"><figcaption>{caption}</figcaption>'
        f'<form autocomplete="off" hidden>{"".join(inputs)}</form>'
        f'<p class="still">{escape(still)}</p>'
        f'<div class="panel">{"".join(map(_figure, pictures.items()))}</div>'
        f'<div role="status"><dl>{"".join(terms)}</dl></div>'
        f'<script type="application/json">{data}</script><script>{_SCRIPT}</script></figure>'
    )


def over(labels: Sequence[str], made: Mapping[tuple, Frame], *, caption: str) -> Shown:
    """`frames` with a control for each place of their tuples, by its label, over the values they have."""
    values = {label: list(dict.fromkeys(place[i] for place in made)) for i, label in enumerate(labels)}
    return frames(values, made, caption=caption)


def _control(name: str, label: str, values: list[float] | list[str], at: int) -> str:
    if not isinstance(values[0], str):
        attributes = {"name": name, "min": 0, "max": len(values) - 1, "step": 1, "value": at}
        now = _text(values[at])
        written = " ".join(f'{k}="{v}"' for k, v in (attributes | {"aria-valuetext": now}).items())
        output = f'<output aria-live="off">{now}</output>'
        return f'<label>{escape(label)} <input type="range" {written}>{output}</label>'
    choices = "".join(
        f'<label><input type="radio" name="{name}" value="{i}"{" checked" * (i == at)}>'
        f"<span>{escape(value)}</span></label>"
        for i, value in enumerate(values)
    )
    return f'<fieldset class="tabs"><legend>{escape(label)}</legend>{choices}</fieldset>'


def _figure(labelled: tuple[str, Picture]) -> str:
    label, picture = escape(labelled[0]), labelled[1]
    if isinstance(picture, bytes):
        inside = f'<img class="pixels" alt="{label}" src="data:image/png;base64,{_stored(picture)}">'
    else:
        inside = _stored(picture)
    return f'<figure><div class="slot">{inside}</div><figcaption>{label}</figcaption></figure>'


def _stored(picture: Picture) -> str:
    if isinstance(picture, bytes):
        return b64encode(picture).decode()
    return picture if isinstance(picture, str) else picture.html


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _shape(frame: Frame) -> str:
    pictures, numbers = frame
    kinds = [f"{label} ({'PNG' if isinstance(p, bytes) else 'HTML'})" for label, p in pictures.items()]
    return f"pictures {', '.join(kinds) or 'none'} and numbers {', '.join(numbers) or 'none'}"
