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


def test_br_e12_compares_with_masks_of_the_true_label_not_with_chance():
    """Masks of either label repeat 40 % of the errors: far above chance, and no leak of the decision."""
    rows = [
        row("BR-E12", "decision_on_errors", [39, 40, 41], sees="mask", label=label, net="standard")
        for label in ("predicted", "true")
    ]
    rows.append(
        row("BR-E12", "decision_on_errors", [9, 10, 11], sees="chance", label="predicted", net="standard")
    )
    assert word("remove_and_retrain", "BR-E12, leak", rows) == "no difference"


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
