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
