"""Each row where the answer is planted."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from companion import attacks, checks
from companion.checks import attack, broken, report, setup, stronger
from companion.training.recipe import Recipe, part

N = 100


def verdicts(robust, n=N):
    """The first `robust` of n points are robust."""
    return torch.arange(n) < robust


class Constant(nn.Module):
    """The same logits for every image."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor(logits)
        self.eval()

    def forward(self, x):
        return self.logits.expand(len(x), -1) + 0 * x.flatten(1).sum(1, keepdim=True)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).eval()


@pytest.fixture
def batch(linear):
    """Images far enough from 0 and 1 that no small ball reaches the bounds, labelled by the net itself."""
    x = 0.3 + 0.4 * torch.rand(N, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, linear(x).argmax(1)


# ---- R1, R2, R5, R6, R7, R26, R27 ------------------------------------------------------------------------


def trains(model):
    model.train()
    model(torch.rand(4, 1, 4, 4))
    model.eval()


def collects(model):
    model(torch.rand(4, 1, 4, 4)).sum().backward()


def edits(model):
    with torch.no_grad():
        next(model.parameters()).add_(1)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (trains, "train mode"),
        (collects, "gradients of the parameters"),
        (edits, "changed its parameters"),
        (lambda model: model.train(), "changed its flags"),
    ],
)
def test_r1_an_attack_leaves_the_net_alone(batch, use, words):
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 4)).eval()

    def well_behaved():
        attacks.pgd(net, *batch, norm="l2", eps=0.1, steps=2)

    assert setup.eval_mode(net, well_behaved).status == "passed"
    check = setup.eval_mode(net, lambda: use(net))
    assert check.status == "failed" and words in check.sentence


def test_r1_a_net_arrives_in_eval_mode(linear):
    check = setup.eval_mode(linear.train(), lambda: None)
    assert check.status == "failed" and "model.eval()" in check.sentence


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x, y: (2 * x, y),
        lambda x, y: (x * torch.nan, y),
        lambda x, y: ((255 * x).to(torch.uint8), y),
        lambda x, y: (x, y.float()),
        lambda x, y: (x, y + 1),
        lambda x, y: (x, y[:-1]),
        lambda x, y: (x[:0], y[:0]),
    ],
)
def test_r2_wrong_inputs_stop_everything_else(linear, batch, spoil):
    found = checks.fast(linear, *spoil(*batch), norm="l2", eps=0.1)
    assert found.ids("failed") == ("R2",) and found.ids("passed") == () and len(found.checks) == 27
    assert "R2" in found["R5"].sentence


def test_r5_r6_rounding_is_no_randomness(linear, batch):
    assert setup.deterministic(linear, batch[0]).status == "passed"
    assert setup.batch_invariant(linear, batch[0]).status == "passed"


def test_r6_a_net_that_cannot_predict_one_image(batch):
    class NeedsMany(nn.Module):
        def forward(self, x):
            return nn.functional.batch_norm(x.flatten(1), None, None, training=True)

    check = setup.batch_invariant(NeedsMany().eval(), batch[0])
    assert check.status == "failed" and "image by image" in check.sentence


def test_r6_a_batch_that_moves_logits_but_no_class_is_flagged(batch):
    class Leans(nn.Module):
        def forward(self, x):
            return torch.stack([1 + x.mean().expand(len(x)), torch.zeros(len(x))], 1)

    check = setup.batch_invariant(Leans().eval(), batch[0])
    assert check.status == "flagged" and check.value == 0


def test_r6_a_tie_that_rounding_decides_is_no_change(batch):
    class Tied(nn.Module):
        def forward(self, x):
            return torch.tensor([1.0, 1.0 + (1e-6 if len(x) > 1 else -1e-6)]).expand(len(x), -1)

    assert setup.batch_invariant(Tied().eval(), batch[0]).status == "passed"


@pytest.mark.parametrize(
    ("outputs", "status"),
    [
        (torch.rand(N, 4).softmax(1), "failed"),
        (torch.rand(N, 4), "passed"),  # in [0, 1], but no distribution
        (torch.rand(N, 4).log_softmax(1), "passed"),  # as good as logits: the softmax of it is the same
        (torch.randn(N, 4), "passed"),
    ],
)
def test_r7_probabilities_are_no_logits(outputs, status):
    assert setup.not_probabilities(outputs).status == status


def test_r26_dlr_needs_three_classes():
    both, dlr = ("cross_entropy", "margin"), ("dlr",)
    assert setup.class_count(torch.zeros(1, 2), both).status == "passed"
    assert setup.class_count(torch.zeros(1, 1), both).status == "failed"
    assert setup.class_count(torch.zeros(1, 2), dlr).status == "failed"
    assert setup.class_count(torch.zeros(1, 3), dlr).status == "passed"


def test_r27_the_recipe_says_which_epoch_was_kept(linear, batch):
    def recipe(select):
        return Recipe(part("digits"), part("digits_cnn"), select=select)

    x = batch[0]
    assert setup.no_choice_on_test_data(linear, x, None).status == "not run"
    assert setup.no_choice_on_test_data(linear, x, recipe("last")).status == "passed"
    assert setup.no_choice_on_test_data(linear, x, recipe("best_test")).status == "flagged"


# ---- R3, R4, R8 to R12 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [1 / 255, 0.3])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_r3_sees_a_thousandth_of_the_radius_but_not_rounding(linear, batch, norm, eps):
    x, y = batch
    adversarial = attacks.pgd(linear, x, y, norm=norm, eps=eps, steps=5)
    assert attack.inside_ball(x, adversarial, norm=norm, eps=eps).status == "passed"
    assert attack.inside_ball(x, adversarial, norm=norm, eps=0.998 * eps).status == "failed"
    outside = adversarial.clone()
    outside[0, 0, 0, 0] = -1e-4
    assert attack.inside_ball(x, outside, norm=norm, eps=10.0).status == "failed"
    outside[0, 0, 0, 0] = torch.nan
    assert attack.inside_ball(x, outside, norm=norm, eps=10.0).status == "failed"


def test_r4_a_start_outside_the_ball_shows_at_radius_zero(linear, batch):
    def starts_anywhere(model, x, y, *, eps, **settings):
        return (x + 0.01 * torch.rand_like(x)).clamp(0, 1)

    settings = {"norm": "l2", "eps": 0.5, "steps": 2}
    assert attack.identity_at_zero(linear, *batch, attacks.pgd, **settings).status == "passed"
    assert attack.identity_at_zero(linear, *batch, starts_anywhere, **settings).status == "failed"


def test_r8_counts_points_without_gradient(linear, batch):
    x, y = batch
    assert attack.zero_gradients(linear, x, y).status == "passed"
    check = attack.zero_gradients(Constant(1.0, 0.0, 0.0, 0.0), x, y)
    assert check.status == "flagged" and check.value == 1.0


@pytest.mark.parametrize(
    ("cross_entropy", "margin", "reported", "status"),
    [
        (50, 50, ("cross_entropy",), "passed"),
        (55, 50, ("cross_entropy",), "failed"),  # 5 points too many
        (54, 50, ("cross_entropy",), "passed"),  # four of a hundred points are within chance
        (50, 60, ("cross_entropy",), "passed"),  # the other loss misses more: no harm to this one
        (55, 50, ("cross_entropy", "margin"), "flagged"),  # right, but cross-entropy alone would not be
        (50, 60, ("cross_entropy", "margin"), "passed"),
    ],
)
def test_r9_asks_whether_what_is_reported_is_too_high(cross_entropy, margin, reported, status):
    robust = {"cross_entropy": verdicts(cross_entropy), "margin": verdicts(margin)}
    assert attack.loss_agreement(robust, reported).status == status


def test_r9_flags_a_small_excess_on_many_points():
    robust = {"cross_entropy": verdicts(520, 1000), "margin": verdicts(500, 1000)}
    check = attack.loss_agreement(robust, ("cross_entropy",))
    assert check.status == "flagged" and check.value == pytest.approx(2.0, abs=1e-4)


def test_r9_counts_the_worst_at_each_point():
    """Two losses of equal accuracy that succeed on different points: each alone is far too high."""
    robust = {"cross_entropy": verdicts(50), "margin": ~verdicts(50)}
    assert attack.loss_agreement(robust, ("cross_entropy",)).value == pytest.approx(50)


@pytest.mark.parametrize(("rise", "status"), [(4, "passed"), (5, "failed")])
def test_r10_a_rise_beyond_chance_fails(rise, status):
    curve = {0.0: verdicts(100), 0.5: verdicts(40), 1.0: verdicts(40 + rise), 2.0: verdicts(0)}
    check = attack.monotone(curve)
    assert check.status == status and check.value == pytest.approx(rise)


def test_r10_points_that_change_both_ways_are_chance():
    noisy = torch.cat([verdicts(10, 20), ~verdicts(12, 20)])  # 10 new, 12 lost, of the former
    assert (
        attack.monotone({0.1: torch.cat([~verdicts(10, 20), verdicts(12, 20)]), 0.2: noisy}).status
        == "passed"
    )


def test_r10_finds_a_rise_between_radii_that_are_no_neighbours():
    curve = {0.1: verdicts(40), 0.2: verdicts(43), 0.3: verdicts(46)}
    assert attack.monotone(curve).status == "failed"


def test_r11_chance_is_the_share_of_the_commonest_class_among_the_points():
    y = torch.tensor([0] * 30 + [1] * 70)
    everything = torch.tensor([0, 1])
    none = verdicts(0)
    for robust, status in ((70, "passed"), (71, "failed")):
        assert attack.large_eps(y, everything, grey=verdicts(robust), whole=none).status == status
    for left, status in ((1, "passed"), (2, "failed")):
        assert attack.large_eps(y, everything, grey=none, whole=verdicts(left)).status == status
    one_answer = torch.zeros(N, dtype=torch.long)
    assert attack.large_eps(y, one_answer, grey=verdicts(N), whole=verdicts(N)).status == "not run"


def test_the_grey_image_is_within_the_grey_radius_of_every_image_and_everything_within_twice_it():
    x = torch.rand(50, 3, 5, 5).round()
    for norm, order in (("l2", 2), ("linf", torch.inf)):
        to_grey = (x - 0.5).flatten(1).norm(order, dim=1).max()
        apart = torch.cdist(x.flatten(1), 1 - x.flatten(1), p=order).max()
        assert to_grey <= attack.grey_radius(x, norm) + 1e-5
        assert apart == pytest.approx(2 * attack.grey_radius(x, norm))


@pytest.mark.parametrize(("many", "status"), [(30, "passed"), (54, "passed"), (55, "failed")])
def test_r12_one_step_may_not_beat_many(many, status):
    assert attack.many_steps_beat_one(verdicts(many), verdicts(50)).status == status


# ---- R19 to R22, R25 -------------------------------------------------------------------------------------


def test_r19_tells_the_mean_of_minima_from_the_minimum_of_means():
    robust = torch.stack([verdicts(60), ~verdicts(30)])  # 60 % and 70 %, together 30 %
    assert attack.worst_case(robust, 0.30).status == "passed"
    assert attack.worst_case(robust, 0.60).status == "failed"
    assert attack.worst_case(robust, attacks.RobustnessResult(robust).mean).status == "failed"
    assert attack.worst_case(robust, attacks.RobustnessResult(robust).worst).value == pytest.approx(0.3)
    with pytest.raises(ValueError, match="one verdict for each attack and point"):
        attack.worst_case(robust.float().mean(1), 0.6)
    with pytest.raises(ValueError, match="divide percentages by 100"):
        attack.worst_case(robust, 30.0)


def test_r19_checks_what_a_page_reports(linear, batch):
    ball = {"norm": "l2", "eps": 0.2, "steps": 3}
    found = attacks.evaluate(linear, *batch, **ball, protocol="ir_paper", restarts=3)
    right = checks.fast(linear, *batch, **ball, verdicts=found, reported=found.worst)
    assert right["R19"].status == "passed" and "3 attacks" in right["R19"].sentence
    wrong = checks.fast(linear, *batch, **ball, verdicts=found, reported=found.worst + 0.02)
    assert wrong["R19"].status == "failed"


def rising(n=N, steps=20):
    return torch.arange(1.0, steps + 1)[:, None].log().expand(steps, n)


def test_r20_a_loss_that_rises_passes_one_that_jumps_or_stands_still_is_flagged():
    falling, still = -rising(), torch.zeros(20, N)
    jumping = rising() + 5 * (torch.arange(20) % 2)[:, None]
    assert attack.rising_loss(rising()).status == "passed"
    for bad in (falling, still, jumping):
        assert attack.rising_loss(bad).status == "flagged"
        few = torch.cat([rising(96), bad[:, :4]], 1)
        many = torch.cat([rising(70), bad[:, :30]], 1)
        assert attack.rising_loss(few).status == "passed"
        assert attack.rising_loss(many).status == "flagged"


def test_r20_points_that_stopped_do_not_count():
    stopped = rising().clone()
    stopped[3:, :50] = torch.nan
    assert attack.rising_loss(stopped).status == "passed"
    stopped[1:] = torch.nan
    assert attack.rising_loss(stopped).status == "not run"


def test_r21_finds_verdicts_that_hang_on_the_batch(linear, batch):
    class Leans(nn.Module):
        def forward(self, x):
            return linear(x) * (1 if len(x) == N else -1)

    x, y = batch
    assert attack.second_prediction(linear, x, y).status == "passed"
    check = attack.second_prediction(Leans().eval(), x, y)
    assert check.status == "failed" and check.value == 1.0


def test_r21_finds_points_the_search_gave_up_too_early(linear, batch):
    x, y = batch  # all rightly classified
    for believed, status in ((1, "passed"), (2, "failed")):
        assert attack.second_prediction(linear, x, y, misclassified=verdicts(believed)).status == status


def test_r21_leaves_the_precision_as_it_was(linear, batch):
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    attack.second_prediction(linear, *batch)
    assert before == (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)


def test_r22_is_judged_where_no_linear_net_is_robust(linear, batch):
    """At the reported radius hardly a point is misclassified; at the row's own radius 95 % have to be."""
    settings = {"norm": "l2", "eps": 1e-3, "steps": 10}
    assert attack.undefended_baseline(linear, *batch, attacks.pgd, **settings).status == "passed"

    def weak(model, x, y, *, eps, **settings):
        return attacks.pgd(model, x, y, **settings | {"eps": eps / 10})

    assert attack.undefended_baseline(linear, *batch, weak, **settings).status == "failed"
    nothing_right = (batch[0], (batch[1] + 1) % 4)
    assert attack.undefended_baseline(linear, *nothing_right, attacks.pgd, **settings).status == "not run"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_linearised_distance_of_a_two_class_linear_net_is_exact(norm):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    x = 0.4 + 0.2 * torch.rand(20, 1, 4, 4)
    y = net(x).argmax(1)
    distance = attack.linearised_distance(net, x, y, norm=norm)
    for i in range(len(x)):
        for factor, right in ((0.99, True), (1.01, False)):
            eps = factor * distance[i].item()
            moved = x[i : i + 1] + eps * step(net, y[i], norm)
            assert bool(net(moved).argmax(1) == y[i]) == right


def step(net, label, norm):
    away = (net[1].weight[1 - label] - net[1].weight[label]).view(1, 1, 4, 4)
    return away.sign() if norm == "linf" else away / away.norm()


def test_r25_states_both_intervals_and_refuses_the_impossible():
    check = attack.interval(verdicts(90), verdicts(50))
    low, high = stats.binomtest(50, N).proportion_ci(method="wilson")
    assert check.status == "passed" and f"({100 * low:.1f} to {100 * high:.1f})" in check.sentence
    assert "n = 100" in check.sentence and check.value == pytest.approx(50 * (high - low), abs=1e-4)
    assert attack.interval(verdicts(50), verdicts(51)).status == "failed"


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 7), (512, 1000)])
def test_wilson_is_scipys(hits, n):
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert checks.wilson(hits, n) == pytest.approx(tuple(expected), abs=1e-6)


def test_excess_is_two_standard_errors_of_the_points_that_differ():
    assert not attack.excess(verdicts(54), verdicts(50)) and attack.excess(verdicts(55), verdicts(50))
    assert not attack.excess(verdicts(50), verdicts(60))
    b, c = 60, 45  # 15 more one way; standard error sqrt(105) = 10.2
    more = torch.cat([torch.ones(b), torch.zeros(c)]).bool()
    assert not attack.excess(more, ~more) and attack.excess(more[:99], ~more[:99])


# ---- R13 to R18, R24 -------------------------------------------------------------------------------------

BALL = {"norm": "l2", "eps": 0.3}


def everything(batch):
    return torch.ones(len(batch[0]), dtype=torch.bool)


def test_r13_an_attack_that_needs_more_steps_is_flagged(linear, batch):
    def slow_start(model, x, y, *, steps, **settings):
        return attacks.pgd(model, x, y, steps=steps, **settings) if steps > 10 else x.clone()

    found = {
        name: stronger.converged_in_steps(
            linear, *batch, everything(batch), run, **BALL, steps=10, generator=torch.Generator()
        )
        for name, run in (("slow", slow_start), ("linear", attacks.pgd))
    }
    assert found["slow"].status == "flagged" and found["slow"].value > 10
    assert found["linear"].status == "passed"


def test_r14_an_attack_that_needs_more_restarts_is_flagged(linear, batch):
    def lucky(model, x, y, *, generator, **settings):
        hit = torch.rand(len(x), generator=generator) < 0.1
        adversarial = attacks.pgd(model, x, y, generator=generator, **settings)
        return torch.where(hit.view(-1, 1, 1, 1), adversarial, x)

    settings = BALL | {"steps": 5, "restarts": 3}
    found = {
        name: stronger.converged_in_restarts(
            linear, *batch, everything(batch), run, **settings, generator=torch.Generator()
        )
        for name, run in (("lucky", lucky), ("linear", attacks.pgd))
    }
    assert found["lucky"].status == "flagged" and found["linear"].status == "passed"


def exact_distance(net, x, y):
    """The l2 distance of a linear net's images to the nearest other class."""
    logits, weight = net(x).detach(), net[1].weight.detach()
    apart = (weight[y][:, None] - weight).norm(dim=2)
    distance = (logits.gather(1, y[:, None]) - logits) / apart
    return distance.scatter(1, y[:, None], torch.inf).amin(1)


def test_r15_to_r18_nothing_else_succeeds_on_what_was_left_robust(linear, batch):
    """Points that are robust in the ball pass; all points, as if an attack had left them, do not."""
    distance = exact_distance(linear, *batch)
    eps = distance.median().item()
    left, ball = distance > eps, {"norm": "l2", "eps": eps}
    rows = {
        "R15": (stronger.random_noise, {"draws": 200}),
        "R16": (stronger.black_box, {"queries": 100}),
        "R18": (stronger.targeted, {"steps": 10}),
    }
    for id, (row, budget) in rows.items():
        run = {**ball, **budget, "generator": torch.Generator()}
        assert row(linear, *batch, left, **run).status == "passed", id
        assert row(linear, *batch, everything(batch), **run).status == "flagged", id
        assert row(linear, *batch, ~everything(batch), **run).status == "not run", id
    run = {**ball, "steps": 10, "generator": torch.Generator()}
    assert stronger.transfer(linear, linear, *batch, left, **run).status == "passed"
    assert stronger.transfer(linear, linear, *batch, everything(batch), **run).status == "flagged"
    assert stronger.transfer(linear, None, *batch, left, **run).status == "not run"


def test_r18_with_three_classes_uses_the_margin(batch):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    y = net(batch[0]).argmax(1)
    run = {"norm": "l2", "eps": 4.0, "steps": 5, "generator": torch.Generator()}  # the first target takes all
    assert stronger.targeted(net, batch[0], y, everything(batch), **run).status == "flagged"


def test_r24_distances_and_verdicts_agree_on_a_linear_net(linear, batch):
    x, y = batch
    with torch.no_grad():  # a confident net: of cross-entropy's rivals only the nearest counts
        linear[1].weight *= 50
        linear[1].bias *= 50
    distance, points = exact_distance(linear, x, y), everything(batch)
    eps = distance.median().item()
    left, ball = distance > eps, {"norm": "l2", "eps": eps}
    assert stronger.minimal_distance(linear, x, y, points, left, **ball).status == "passed"
    check = stronger.minimal_distance(linear, x, y, points, points, **ball)  # an attack that never succeeds
    assert check.status == "flagged" and check.value < -3
    assert stronger.minimal_distance(linear, x, y, points, left, norm="linf", eps=0.1).status == "not run"


@pytest.mark.slow
def test_r24_knows_affine_nets(linear, nets, points):
    assert stronger._affine(linear, torch.rand(8, 1, 4, 4))
    assert not stronger._affine(nets["standard"], points[0])


# ---- the report ------------------------------------------------------------------------------------------


def test_a_report_names_every_row_and_why_it_was_not_run(linear, batch):
    found = checks.fast(linear, *batch, norm="l2", eps=0.1, steps=3, limit=40)
    assert [check.id for check in found.checks] == list(checks.ROWS) == [f"R{i}" for i in range(1, 28)]
    assert found.n == 40 and "n = 40" in found["R25"].sentence
    for id, words in (("R13", "checks.slow"), ("R22", "baseline"), ("R23", "tests"), ("R27", "recipe")):
        assert found[id].status == "not run" and words in found[id].sentence
    assert all(c.sentence.endswith(".") and "\n" not in c.sentence for c in found.checks)


def test_a_report_is_plain_data(linear, batch):
    plain = checks.fast(linear, *batch, norm="l2", eps=0.1, steps=3).as_dict()
    assert set(plain) == {"norm", "eps", "n", "checks"}
    for row in plain["checks"]:
        assert set(row) == {"id", "name", "status", "value", "sentence"}
        assert row["value"] is None or (type(row["value"]) is float and math.isfinite(row["value"]))


def test_an_infinite_figure_is_none():
    rows = [report.judge("R3", False, math.inf, "It is outside.")]
    assert report.complete("l2", 1.0, 3, rows, "").as_dict()["checks"][2]["value"] is None


def test_the_same_net_gets_the_same_report(linear, batch):
    first, second = (checks.fast(linear, *batch, norm="l2", eps=0.1, steps=3) for _ in range(2))
    assert first == second


def test_the_report_does_not_depend_on_the_batch_size_where_nothing_is_random(linear, batch):
    def still(model, x, y, **settings):
        return attacks.pgd(model, x, y, **settings | {"start": "none", "stop_early": True})

    settings = {"norm": "l2", "eps": 0.2, "steps": 5, "attack": still}
    whole, parts = (checks.fast(linear, *batch, **settings, batch_size=size) for size in (1000, 7))
    for id in ("R9", "R10", "R12", "R20", "R25"):
        assert whole[id].status == parts[id].status
        assert whole[id].value == pytest.approx(parts[id].value, abs=1e-5)


def test_a_net_that_is_always_wrong_leaves_nothing_to_attack(linear, batch):
    x, y = batch
    for bundle in (checks.fast, checks.slow):
        found = bundle(linear, x, (y + 1) % 4, norm="l2", eps=0.1)
        assert found.ids("failed") == ()
        assert "nothing to attack" in found["R9" if bundle is checks.fast else "R16"].sentence


def test_a_net_with_one_answer_can_be_right_everywhere(batch):
    found = checks.fast(Constant(2.0, 0.0, 0.0), batch[0], torch.zeros(N).long(), norm="l2", eps=0.1, steps=3)
    assert found.ids("failed") == () and found["R11"].status == "not run"


def test_joined_reports_keep_what_either_ran_and_the_worse_of_both():
    def of(*rows, eps=0.5):
        return report.complete("l2", eps, 10, rows, "no reason")

    good, bad = (report.judge("R2", holds, None, "A sentence.") for holds in (True, False))
    joined = checks.join(of(good), of(bad, report.judge("R13", True, 0.0, "Another.")))
    assert joined["R2"].status == "failed" and joined["R13"].status == "passed"
    assert joined["R1"].status == "not run"
    with pytest.raises(ValueError, match="join those of one ball"):
        checks.join(of(good), of(good, eps=0.6))


def test_settings_are_refused_like_everywhere(linear, batch):
    with pytest.raises(ValueError, match="norm='l1'"):
        checks.fast(linear, *batch, norm="l1", eps=0.1)
    with pytest.raises(ValueError, match="loss='hinge'"):
        checks.fast(linear, *batch, norm="l2", eps=0.1, losses=("hinge",))


def test_broken_nets_take_over_the_mode_of_the_net_they_wrap(linear):
    for mode in (True, False):
        linear.train(mode)
        for wrapper in (broken.Scaled, broken.Quantised, broken.Probabilities, broken.Noisy):
            assert wrapper(linear).training is mode


@pytest.mark.parametrize(
    "use",
    [
        lambda: None,
        lambda: setattr(torch.backends, "fp32_precision", "tf32"),
        lambda: torch.set_float32_matmul_precision("high"),
    ],
)
def test_full_precision_is_taken_and_given_back_whichever_way_tf32_was_asked_for(use):
    places = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    whole, each = torch.backends.fp32_precision, [place.fp32_precision for place in places]
    try:
        use()
        before = [place.fp32_precision for place in places]
        with attack._full_precision("cpu"):
            assert [place.fp32_precision for place in places] == ["ieee", "ieee"]
        assert [place.fp32_precision for place in places] == before
    finally:
        torch.backends.fp32_precision = whole
        for place, precision in zip(places, each, strict=True):
            place.fp32_precision = precision


def test_one_image_says_nothing_about_an_affine_net():
    class Cubic(nn.Module):
        def forward(self, x):
            t = x.flatten(1)
            return torch.cat([0 * t, 40 * t**3 - 1], 1)

    assert not stronger._affine(Cubic(), torch.full((1, 1, 1, 1), 0.1))
