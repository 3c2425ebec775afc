"""Ids in a page's text become links, and nothing else changes."""

import re

import pytest

from companion.publishing.pages import crossrefs
from companion.publishing.pages.crossrefs import Place

KNOWN = {
    "IR-E1": Place("book/errata", "ir-e1", 'Prints "a < b".'),
    "IR-T1": Place("notebooks/ir", "ir-t1", "Nine models"),
}


def linked(body, known=KNOWN):
    return crossrefs.link(body, known, lambda place: f"{place.page}.html#{place.anchor}")


def test_an_id_leads_to_its_place_and_shows_its_gist():
    link = '<a class="cmp-id" href="book/errata.html#ir-e1" title="Prints &quot;a &lt; b&quot;.">IR-E1</a>'
    assert linked("<p>as (IR-E1) says</p>") == f"<p>as ({link}) says</p>"


def test_every_mention_in_text_and_in_tables_does():
    assert linked("IR-E1, IR-T1; <td>IR-E1</td>").count("<a ") == 3


@pytest.mark.parametrize(
    "body",
    [
        '<a href="#x">see <b>IR-E1</b></a>',
        "<h2>IR-T1: nine</h2>",
        "<pre>IR-E1\n</pre> <code>IR-E1</code>",
        "<svg viewBox='0 0 1 1'><text>IR-E1</text></svg>",
        "<script>if (a < b && c > d) show('IR-E1')</script>",
        "<!-- IR-E1 <b> -->",
        "<summary>IR-E1</summary>",
        '<img alt="a > b IR-E1" src="IR-E1.png"><i data-x=\'{"x": ">IR-E1"}\'>',
        "IR-E12, XIR-E1, IR-E1-x, ir-e1, a/IR-E1, XX-E1, IR-E1b",
        "1 < 2 &amp;lt; 3 > 2",
    ],
)
def test_what_is_no_mention_stays_as_it_is(body):
    assert linked(body) == body


def test_an_id_beside_its_own_anchor_is_no_link():
    assert linked('<th id="ir-e1">IR-E1<br>x</th><td>IR-E1</td>').count("<a ") == 1


def test_an_article_is_no_link_element():
    assert linked("<article>IR-E1</article><p>IR-E1</p>").count("<a ") == 2


def test_only_links_are_put_in():
    body = "<p class='x'>IR-E1 &amp; <em>IR-T1</em> \\(x < y\\)</p>\n<pre>IR-E1</pre>" * 3
    assert re.sub(r"</?a\b[^>]*>", "", linked(body)) == body


def test_the_ids_of_all_errata_and_claims_have_a_place():
    errata, claims = crossrefs.of_errata(), crossrefs.of_claims()
    assert {"IR-E1", "BR-E12", "ET-E1"} <= set(errata) and {"IR-C1", "BR-C3", "NM-C7", "IR-E7"} <= set(claims)
    assert errata["IR-E7"].page == "book/errata" and claims["IR-E7"].page == "book/scorecard"
    places = claims | errata
    assert all(crossrefs.ID.fullmatch(name) for name in places)
    assert all(re.fullmatch(r"[\w-]+", place.anchor) and place.gist for place in places.values())
