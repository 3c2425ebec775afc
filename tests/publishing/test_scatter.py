"""The explorer of nets under two measures: what it holds, and what the page does with it."""

import json
import math

import pytest
from bs4 import BeautifulSoup

from companion.publishing.explorers import scatter
from tests.browser import evaluated, needs_browser

PNG = b"\x89PNG a picture"
NETS = [
    scatter.Net("A, seed 0", "#0072B2", [1.0, 5.0, 2.0], PNG),
    scatter.Net("B, seed 0 </script>", "#D55E00", [3.0, 1.0, 4.0], PNG + b"!"),
    scatter.Net("C, seed 0", "#666666", [2.0, math.inf, 3.0], PNG),
]
SAYS = {("m", "n"): "m and n: +0.50.", ("o", "m"): "o and m: −0.10.", ("n", "o"): "n and o: 0."}


def shown():
    return scatter.explorer(NETS, ["m", "n", "o"], SAYS, start=("m", "n"), caption="Nets").html


def test_it_holds_every_net_and_a_sentence_for_every_two_measures():
    text = shown()
    kept = json.loads(BeautifulSoup(text, "html.parser").find("script", type="application/json").string)
    assert [net["name"] for net in kept["nets"]] == [net.name for net in NETS]
    assert kept["nets"][2]["values"] == [2.0, None, 3.0]
    assert kept["says"][0][1] == kept["says"][1][0] == SAYS["m", "n"] and kept["says"][0][0] == ""
    assert text.count("</script>") == 2  # that of a name is no end


@pytest.mark.parametrize(
    ("values", "start", "words"),
    [([1.0], ("m", "n"), "A has 1 values; expected 3"), ([1.0, 2.0, 3.0], ("m", "p"), "'p' is none of the")],
)
def test_what_does_not_fit_is_refused(values, start, words):
    with pytest.raises(ValueError, match=words):
        scatter.explorer(
            [scatter.Net("A", "#000", values, PNG)], ["m", "n", "o"], {}, start=start, caption=""
        )


LOOK = """
const root = document.querySelector('.cmp-scatter'), form = root.querySelector('form');
const seen = () => ({
  dots: [...root.querySelectorAll('circle')].map(dot => [+dot.getAttribute('cx'), +dot.getAttribute('cy')]),
  on: root.querySelector('circle.on title')?.textContent, chosen: root.querySelector('.chosen b').textContent,
  numbers: root.querySelector('.chosen span').textContent, says: root.querySelector('.says').textContent,
  picture: root.querySelector('img').src.slice(-8), hidden: form.hidden,
});
const pick = (name, value) => {
  form.elements[name].value = value;
  form.elements[name].dispatchEvent(new Event('input', {bubbles: true}));
};
"""


@needs_browser
def test_the_page_draws_the_two_measures_and_shows_the_net_pointed_at(tmp_path):
    script = f"""{LOOK} result = [seen()];
    root.querySelectorAll('circle')[1].dispatchEvent(new Event('mouseenter')); result.push(seen());
    pick('y', 2); result.push(seen()); pick('net', 2); result.push(seen());"""
    (first, pointed, other, chosen), console = evaluated(shown(), script, tmp_path)
    assert console == [] and first["hidden"] is False
    (a, b) = first["dots"]  # C has no finite value of n
    assert a[0] < b[0] and a[1] < b[1]  # up is towards 0
    assert first["chosen"] == first["on"] == "A, seed 0" and first["says"] == "m and n: +0.50."
    assert pointed["chosen"] == "B, seed 0 </script>" and pointed["numbers"] == "m 3.00; n 1.00"
    assert pointed["picture"] != first["picture"]
    assert len(other["dots"]) == 3 and other["says"] == "o and m: −0.10." and other["on"] == pointed["on"]
    assert chosen["on"] == "C, seed 0" and chosen["numbers"] == "m 2.00; o 3.00"
