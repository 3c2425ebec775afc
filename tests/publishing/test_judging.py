"""The answers: what each needs, on estimates given by hand."""

import math

import pytest

from companion.publishing.claims import judging
from companion.publishing.claims.intervals import Estimate
from companion.publishing.claims.judging import Verdict


def e(value, se=0.1, margin=1.0, name="part", **more):
    return Estimate(name, value, "acc", margin, se=se, **more)


class TestEvery:
    @pytest.mark.parametrize(
        ("parts", "word"),
        [
            ([e(5.0), e(3.0)], "reproduced"),
            ([e(5.0), e(-0.2, se=0.3), e(2.0)], "reproduced"),  # one part within the margin below zero
            ([e(5.0), e(0.0, se=0.3)], "undecided"),  # the largest part alone carries it
            ([e(5.0), e(0.5, se=1.0)], "undecided"),  # its lower limit is beyond the margin
            ([e(5.0), e(-2.0)], "not reproduced"),
            ([e(-5.0), e(-3.0)], "not reproduced"),
            ([e(-0.6), e(-0.7)], "no difference"),
            ([e(0.3), e(-0.3)], "no difference"),
            ([e(-1.1), e(0.9, se=1.0)], "undecided"),  # not beyond the margin by its limit
            ([e(-0.9, margin=0.0), e(0.3, margin=0.0)], "not reproduced"),
            ([e(1.0, se=math.inf)], "undecided"),
            ([e(math.nan, se=math.inf), e(5.0)], "undecided"),  # a value is missing
            ([e(0.5)], "no difference"),
            ([e(0.5, margin=0.0)], "reproduced"),
        ],
    )
    def test_what_it_takes(self, parts, word):
        assert judging.every(parts).word == word

    def test_many_parts_are_corrected_before_one_speaks_against_all(self):
        fails_alone = e(-1.35, se=0.2)
        assert fails_alone.upper() < -1
        assert judging.every([fails_alone]).word == "not reproduced"
        assert judging.every([fails_alone, *[e(9.0)] * 19]).word == "undecided"

    def test_all_parts_a_little_below_zero_are_not_reproduced_together(self):
        found = judging.every([e(-1.0, se=0.3, name=n) for n in "abc"])
        assert found.word == "not reproduced" and found.binding == "all parts together"

    def test_the_part_that_binds_is_named_with_its_limits(self):
        found = judging.every([e(5.0, name="x"), e(3.0, name="y")])
        assert found.detail == "of 2 parts the one that binds: y +3.00 (+2.84 to +3.16)"
        assert found.binding == "y" and found.values == {"x": 5.0, "y": 3.0}
        assert found.effect == pytest.approx((2.8355, 3.0, 3.1645), abs=1e-3)


class TestWhatWouldDecide:
    def test_the_difference_seen_and_the_nets_it_takes(self):
        found = judging.every([e(0.5, se=0.5, margin=0.0, nets=3, df=20, between_nets=0.25)])
        assert found.word == "undecided"
        assert (
            "a difference of 1.3 would have been seen; about 20 nets a side would settle what was"
            in found.detail
        )

    def test_images_where_nets_alone_would_not_do(self):
        part = e(0.5, se=0.5, margin=0.0, nets=3, images=300, df=20, between_nets=0.1, between_images=0.15)
        assert "nets a side on" in judging.every([part]).detail

    def test_one_net_asks_for_nets_or_images(self):
        assert "it takes at least three" in judging.every([e(1.0, se=math.inf)]).detail
        part = e(0.5, se=0.5, margin=0.0, nets=1, images=500, df=499, between_images=0.25)
        detail = judging.every([part]).detail
        assert (
            "images would settle what was, for these nets" in detail and "it speaks of these nets" in detail
        )

    def test_a_correlation_over_three_settings_asks_for_settings_not_for_nets(self):
        few = e(0.9, se=math.inf, nets=3, correlation=True)
        detail = judging.every([few]).detail
        assert "over 3 settings has no interval: it takes at least four" in detail
        assert "one net" not in detail

    def test_nothing_is_promised_for_an_effect_of_nothing(self):
        assert "too small to be settled" in judging.every([e(0.0, margin=0.0, se=1.0, nets=3)]).detail


class TestAtLeast:
    def test_a_majority(self):
        for parts, word in (
            ([e(5.0), e(5.0), e(-5.0)], "reproduced"),
            ([e(5.0), e(-5.0), e(-5.0)], "not reproduced"),
            ([e(5.0), e(-5.0)], "not reproduced"),  # half is not most
            ([e(5.0), e(0.0, se=9.0), e(0.0, se=9.0)], "undecided"),
            ([e(0.1), e(-0.1), e(0.2)], "no difference"),
        ):
            assert judging.at_least(parts, len(parts) // 2 + 1).word == word

    def test_all_but_one(self):
        assert judging.at_least([e(5.0), e(5.0), e(-5.0)], 2).word == "reproduced"
        assert judging.at_least([e(5.0), e(5.0), e(-5.0), e(-5.0)], 3).word == "not reproduced"


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ([e(0.1), e(-0.2)], "reproduced"),
        ([e(0.1), e(3.0)], "not reproduced"),
        ([e(0.9)], "undecided"),
        ([e(0.0, se=9.0)], "undecided"),
        ([e(0.0, se=math.inf)], "undecided"),
        ([e(0.0, se=0.0)], "reproduced"),
    ],
)
def test_equal_is_two_one_sided_tests(parts, word):
    assert judging.equal(parts).word == word


class TestInPrint:
    @pytest.mark.parametrize(
        ("values", "word"),
        [((2.0, 0.1), "holds"), ((2.0, -0.05), "too close to read"), ((2.0, -0.3), "contradicted")],
    )
    def test_what_fails_by_less_than_the_reading_is_not_contradicted(self, values, word):
        assert judging.in_print([(e(v, margin=0.0), 0.1) for v in values]).word == word

    def test_what_fails_within_the_margin_is_not_contradicted_and_the_margin_is_named(self):
        """A planted half point, read to a tenth: it counts as none under a margin of one, and only then."""
        found = judging.in_print([(e(v, margin=1.0), 0.1) for v in (2.0, -0.5)])
        assert found.word == "too close to read" and found.detail.endswith("within 1 counts as none")
        assert judging.in_print([(e(v, margin=0.0), 0.1) for v in (2.0, -0.5)]).word == "contradicted"
        assert judging.in_print([(e(v, margin=1.0), 0.1) for v in (2.0, -1.2)]).word == "contradicted"

    def test_most(self):
        parts = [(e(v, margin=0.0), 0.0) for v in (1.0, 1.0, -1.0)]
        assert judging.in_print(parts).word == "contradicted"
        assert judging.in_print(parts, majority=True).word == "holds"


def test_identities_have_no_interval():
    assert judging.exact([("gap", 1e-12, 1e-9), ("gap", 0.0, 1e-9)]).word == "reproduced"
    found = judging.exact([("gap", 1e-12, 1e-9), ("other", 2e-9, 1e-9)])
    assert (
        found.word == "not reproduced"
        and found.detail == "1 of 2 within bounds; farthest: other, off by 2e-09"
    )
    assert judging.exact([("gap", math.nan, 1.0)]).word == "not reproduced"


def test_every_word_has_a_badge_and_counts_come_in_their_order():
    words = ["not reproduced", "reproduced", "not reproduced"]
    assert judging.summary(Verdict(w, "") for w in words) == "1 reproduced, 2 not reproduced"
    assert all(w in Verdict(w, "").badge for w in judging.BADGES)
