"""Rules that were repaired, each on rows on which the earlier rule decided otherwise."""

from companion.publishing.claims import ledger
from companion.publishing.claims.ledger import overall


def row(experiment, quantity, values, **labels):
    values = [float(v) for v in values]
    found = {"experiment": experiment, "quantity": quantity, "values": values, "n": len(values), **labels}
    return found | {"value": sum(values) / len(values)}


def word(notebook, claim, rows):
    of = next(p for p in ledger.of_notebook(notebook) if claim in {c.id for c in p.claims})
    return overall(ledger.decide(of, rows)[claim])


def curve(heights, metric="ROAR", **labels):
    """A score for each strength, three nets each, the same for both norms, objectives and maps."""
    return [
        row("BR-F4", "mu", [h - 0.2, h, h + 0.2], strength=s, metric=metric, map=m, norm=n, objective=o)
        | {"dataset": "CIFAR-10"}
        | labels
        for s, h in heights.items()
        for m in ("G", "GX")
        for n in ("l2", "linf")
        for o in ("CE", "CW")
    ]


def test_br_c4_asks_for_a_rise_not_for_the_papers_smallest_correlation():
    """A clear rise with a dip: Pearson's .79, below .88, and the fitted line rises by twelve points."""
    rows = curve({0.0: 0, 0.25: 9, 0.5: 5, 0.75: 8, 1.0: 14})
    assert word("remove_and_retrain", "BR-C4", rows) == "reproduced"
    assert word("remove_and_retrain", "BR-C4", curve({0.0: 9, 0.5: 5, 1.0: 1})) == "not reproduced"


def test_br_c9_compares_means_over_seeds():
    """The weakest seed of a radius is level with the best standard one: the statement is about means."""
    rows = curve({0.0: 1.0, 0.5: 1.7, 1.0: 4.0})
    assert word("remove_and_retrain", "BR-C9", rows) == "reproduced"


def test_br_e12_asks_readers_of_another_images_mask():
    """Masks of the true label repeat fewer errors than the own ones, by arithmetic: that decides nothing."""

    def reading(order, value):
        about = {"sees": "mask", "model": "standard", "share": 0.7}
        return row("BR-E12", "decision_on_errors", [value - 1, value, value + 1], order=order, **about)

    mirror = [reading("own", 80), reading("true", 10), reading("chance", 10)]
    assert word("remove_and_retrain", "BR-E12, leak", [*mirror, reading("another's", 10)]) == "no difference"
    assert word("remove_and_retrain", "BR-E12, leak", [*mirror, reading("another's", 75)]) == "reproduced"


def test_br_o_pairs_the_seeds():
    """Own and another's maps differ by 3 to 4 points in every seed, and by 10 between seeds."""
    own = [0.0, 5.0, 10.0]
    about = {"metric": "ROAR", "training": "adversarial", "model": "l2"}
    gaps = [row("BR-O", "own − another's", [-3.0, -3.5, -4.0], **about)]
    strength = {"norm": "l2", "objective": "CE", "strength": 1.0, "metric": "ROAR"}
    each = {"own map": own, "another image's map": [3.0, 8.5, 14.0]}
    unpaired = [row("BR-V", "mu", values, map=name, **strength) for name, values in each.items()]
    assert word("remove_and_retrain", "BR-O", [*gaps, *unpaired]) == "not reproduced"
    assert word("remove_and_retrain", "BR-O", unpaired) == "not tested here"


def test_ir_c11_almost_all_is_not_a_majority():
    """Five of eight nets with smaller gradients: more than half, not all but one."""
    rows = [row("IR-F4", "norm_true", [4.9, 5.0, 5.1], model="Standard", dataset="MNIST")]
    rows += [
        row("IR-F4", "norm_true", [h - 0.1, h, h + 0.1], model=f"net {i}", dataset="MNIST")
        for i, h in enumerate([1, 1, 1, 1, 1, 9, 9, 9])
    ]
    assert word("interpretation_regularization", "IR-C11", rows) == "not reproduced"


def test_a_single_net_without_images_decides_nothing():
    """BP-C5 was decided at one seed."""
    rows = [row("BP-N", "ratio", [1.0], net="weight l1", width="paper")]
    assert word("discriminative_features", "BP-C5", rows) not in ("reproduced", "not reproduced")


def test_a_claim_about_one_image_set_is_not_judged_by_another():
    rows = curve({0.0: 0, 0.5: 5, 1.0: 9}, dataset="digits")
    assert word("remove_and_retrain", "BR-C4", rows) == "not tested here"


RADIUS = {"standard": [0.095, 0.095], "weights l2": [0.095, 0.095], "gradients l1": [0.12, 0.12]}
RADIUS |= {name: [0.095, 0.095] for name in ("weights l1", "weights linf", "gradients l2", "gradients linf")}


def radii(**change):
    linf = [
        row("BP-N", "radius, linf", values, net=net, attack="linf, strong")
        for net, values in (RADIUS | change).items()
    ]
    other = [0.9, 0.625], [0.825, 0.9], [0.5, 0.9], [0.9, 0.75]
    return linf + [
        row("BP-N", "radius, l1", v, net=f"net {i}", attack="l1, strong") for i, v in enumerate(other)
    ]


def test_bp_c3_a_radius_in_one_norm_says_nothing_of_the_spread_in_another():
    """Every net has 0.095 in linf, where one has 0.12; in l1, in other units, radii differ by 0.3."""
    assert word("discriminative_features", "BP-C3, robust", radii()) == "not reproduced"
    assert (
        word("discriminative_features", "BP-C3, robust", radii(**{"weights linf": [0.05, 0.095]}))
        == "not reproduced"
    )


def test_one_step_of_the_radii_tried_decides_nothing():
    """Radii on a grid of 0.005: nets that are equal on it, and one step below another, may be level."""
    level = {name: [0.095, 0.095] for name in RADIUS}
    assert word("discriminative_features", "BP-C3, robust", radii(**level)) != "not reproduced"
    assert (
        word("discriminative_features", "BP-C3, robust", radii(**level | {"weights l2": [0.09, 0.09]}))
        == "undecided"
    )


def top1(**values):
    return [row("BP-N", "top1", of, net=net) for net, of in values.items()]


def test_one_of_twenty_points_beyond_the_bound_decides_nothing():
    """Both nets at 0.55, where the claim says less than half more than the standard net's 0."""
    for values, verdict in (([0.55, 0.55], "undecided"), ([0.95, 0.95], "not reproduced")):
        rows = top1(standard=[0.0, 0.0]) + [row("BP-N", "top1", values, net="gradients l1")]
        assert word("discriminative_features", "BP-C5, gradients", rows) == verdict


def shown(top, bottom, **labels):
    return [row("BP-S", q, v, **labels) for q, v in (("top1", top), ("bottom1", bottom))]


def test_bp_c2_a_signal_that_is_always_the_smallest_entry_is_shown():
    """The earlier rule asked for the largest entry only, and was reproduced by such a net."""
    at = {"net": "standard", "lambda": 0.0, "width": 500}
    dip = shown([0.0] * 4, [1.0, 0.95, 1.0, 1.0], **at)
    assert word("discriminative_features", "BP-C2", dip) == "not reproduced"
    none = shown([0.1, 0.05, 0.1, 0.15], [0.1, 0.15, 0.05, 0.1], **at)
    assert word("discriminative_features", "BP-C2", none) == "reproduced"


def test_bp_c3_dip_asks_for_more_than_the_standard_net_s():
    """The earlier rule asked for a dip under the penalty, whatever the standard net has."""
    names = {"standard": 0.0, "weights l2": 0.0003}

    def rows(standard, penalised):
        values = dict(zip(names, (standard, penalised), strict=True))
        return [
            row("BP-S", q, [factor * v for v in values[net]], net=net, **{"lambda": weight}, width=500)
            for net, weight in names.items()
            for q, factor in (("bottom1", 0.1), ("contrast", 1.0))
        ]

    same = [9.0, 8.0, 9.5, 9.0]
    assert word("discriminative_features", "BP-C3, dip", rows(same, same)) != "reproduced"
    assert (
        word("discriminative_features", "BP-C3, dip", rows([2.2, 2.7, 2.3, 2.5], [5.0, 5.6, 5.1, 5.5]))
        == "reproduced"
    )


def test_bp_c1_asks_the_nets_that_localise_best_whether_or_not_they_classify():
    rows = [
        row("BP-S", "accuracy where top1 is highest", v, net=n)
        for n, v in (("a", [100, 100]), ("b", [70, 65]))
    ]
    assert word("discriminative_features", "BP-C1", rows) == "not reproduced"
    assert word("discriminative_features", "BP-C1", rows[:1]) == "reproduced"
