"""Nets trained in one stack are the nets trained alone."""

from dataclasses import replace

import pytest
import torch

from companion import data, store, training
from companion.store import keys, nets
from companion.training import stacked
from companion.training.recipe import Mask, Recipe, part

ONE = Recipe(
    part("digits", n_train=230),
    part("mlp", hidden=(24, 16)),
    optimiser=part("Adam", lr=3e-3),
    schedule="step",
    epochs=4,
    batch_size=50,
)
SEEDS = [replace(ONE, seed=seed) for seed in range(3)]


@pytest.fixture
def images():
    return data.load("digits", n_train=230)


@pytest.fixture(autouse=True)
def fresh_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    store.images.cache_clear()


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.parametrize(
    "common",
    [
        {},
        {"optimiser": part("SGD", lr=0.05, momentum=0.9, weight_decay=1e-3), "schedule": "cosine"},
        {"model": part("mlp", hidden=(24, 16), mean=(0.3,), std=(0.4,)), "optimiser": part("AdamW", lr=1e-3)},
    ],
)
def test_each_net_is_the_one_trained_alone_up_to_rounding(images, common):
    """On images of its own, with batches in an order of its own, the last batch of an epoch smaller."""
    recipes = [replace(recipe, **common) for recipe in SEEDS]
    sets = [replace(images, x_train=images.x_train * bright) for bright in (1.0, 0.5, 0.2)]
    state = torch.get_rng_state()
    for recipe, own, (net, history) in zip(recipes, sets, stacked.train(recipes, sets), strict=True):
        alone, expected = training.train(recipe, own)
        torch.testing.assert_close(weights(net), weights(alone), rtol=1e-4, atol=1e-5)
        assert [h["loss"] for h in history] == pytest.approx([h["loss"] for h in expected], rel=1e-4)
        assert not net.training and net.state_dict().keys() == alone.state_dict().keys()
    assert torch.equal(state, torch.get_rng_state())


def test_noise_is_drawn_for_each_net_as_for_one_alone(images):
    """Of one kind, whatever their noise, and beside a net without any."""
    inputs = (
        None,
        part("noise_modulation", beta=0.5),
        part("noise_modulation", carrier="laplace", beta=0.2),
    )
    recipes = [replace(ONE, seed=seed, inputs=chosen) for seed, chosen in enumerate(inputs)]
    for recipe, (net, _) in zip(recipes, stacked.train(recipes, [images] * 3), strict=True):
        alone, _ = training.train(recipe, images)
        torch.testing.assert_close(weights(net), weights(alone), rtol=1e-4, atol=1e-5)


def test_a_net_that_diverges_does_not_touch_the_others(images):
    sets = [images, replace(images, x_train=images.x_train * 1e38), images]
    found = stacked.train(SEEDS, sets)
    assert isinstance(found[1], training.Diverged) and "seed 1" in str(found[1])
    calm = stacked.train(SEEDS, [images] * 3)
    for i in (0, 2):
        torch.testing.assert_close(weights(found[i][0]), weights(calm[i][0]))


@pytest.mark.parametrize(
    "change",
    [
        {"model": part("digits_cnn")},
        {"loss": part("double_backprop", lambda_g=0.1)},
        {"inputs": part("adversarial", norm="l2", eps=0.1, steps=2)},
        {"optimiser": part("LBFGS")},
        {"augment": True},
        {"select": "best_test"},
    ],
)
def test_other_trainings_are_done_alone(change):
    other = replace(ONE, **change)
    assert stacked.kind(ONE) is not None and stacked.kind(other) is None
    with pytest.raises(ValueError, match="train each alone"):
        stacked.train([ONE, other], [])


@pytest.mark.parametrize("change", [{"epochs": 5}, {"batch_size": 40}, {"data": part("digits", n_train=200)}])
def test_kinds_differ(change):
    assert stacked.kind(ONE) == stacked.kind(SEEDS[1]) == stacked.kind(replace(ONE, mask=Mask(0.5)))
    assert stacked.kind(ONE) != stacked.kind(replace(ONE, **change))


def test_many_images_are_few_at_once(images):
    def many(n, *shape):
        return replace(images, x_train=torch.empty(n, *shape, device="meta"))

    assert stacked.at_once(ONE, images) == 32
    assert stacked.at_once(replace(ONE, batch_size=200), many(60_000, 1, 28, 28)) == 2
    assert stacked.at_once(replace(ONE, batch_size=1000), many(60_000, 3, 64, 64)) == 1


def test_a_long_training_is_done_alone_with_a_checkpoint(images):
    assert stacked.at_once(replace(ONE, epochs=1000), images) == 32
    assert stacked.at_once(replace(ONE, epochs=1001), images) == 1


MASKED = [
    replace(ONE, mask=Mask(share, SEEDS[2], part("loss_gradient")), seed=seed)
    for share in (0.2, 0.6)
    for seed in (0, 1)
]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_store_trains_them_after_their_source_and_keeps_each(jobs):
    """Seven nets: two and the source in one stack, the four that need it in the next."""
    said = []
    store.train_all([*MASKED, *SEEDS], jobs=jobs, report=said.append)
    assert not store.missing([*MASKED, *SEEDS])
    assert any("training 4 like digits mlp standard 20% masked" in text for text in said) or jobs == 2
    for recipe in (MASKED[3], SEEDS[0]):
        alone, _ = training.train(recipe, store.images_of(recipe, "cpu"))
        torch.testing.assert_close(weights(store.get(recipe)), weights(alone), rtol=1e-4, atol=1e-5)
        assert len(store.history(recipe)) == 4


def test_what_is_there_is_not_trained_again_and_a_failure_keeps_the_rest(monkeypatch):
    store.get(SEEDS[0])
    before = (store.folder() / f"{store.key(SEEDS[0])}.json").stat().st_mtime_ns
    train = stacked.train

    def one_fails(recipes, images, **settings):
        assert SEEDS[0] not in recipes
        return [training.Diverged("planted"), *train(recipes, images, **settings)[1:]]

    monkeypatch.setattr(stacked, "train", one_fails)
    more = [replace(ONE, seed=seed) for seed in range(4)]
    with pytest.raises(training.Diverged, match="planted"):
        store.train_all(more, jobs=1)
    assert store.missing(more) == [more[1]]
    assert (store.folder() / f"{store.key(SEEDS[0])}.json").stat().st_mtime_ns == before


OTHERS = {
    "noise": replace(ONE, seed=9, inputs=part("noise_modulation", beta=2.0)),
    "mask": replace(ONE, seed=9, mask=Mask(0.5, fill="meen")),
}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("other", OTHERS)
def test_a_member_that_cannot_be_trained_takes_no_other_with_it(jobs, other):
    with pytest.raises(ValueError):
        store.train_all([*SEEDS, OTHERS[other]], jobs=jobs)
    assert store.missing([*SEEDS, OTHERS[other]]) == [OTHERS[other]]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_needs_a_healthy_member_of_a_stack_is_trained(monkeypatch, jobs):
    """SEEDS[2], which the masked nets need, is in one stack with a net that diverges."""
    wild = replace(ONE, seed=7)
    train = stacked.train

    def one_fails(recipes, images, **settings):
        found = train(recipes, images, **settings)
        return [training.Diverged("planted") if r == wild else f for r, f in zip(recipes, found, strict=True)]

    monkeypatch.setattr(stacked, "train", one_fails)
    if jobs == 2:  # all of it here, where the patch is
        monkeypatch.setattr(nets.processes, "_elsewhere", lambda *_: None)
    with pytest.raises(training.Diverged, match="planted"):
        store.train_all([wild, *MASKED], jobs=jobs)
    assert store.missing([wild, *MASKED]) == [wild]


def test_what_report_raises_is_no_net_s_fault():
    class Closed(Exception):
        pass

    def closed(text):
        if "together" in text:
            raise Closed

    with pytest.raises(Closed):
        store.train_all(SEEDS, jobs=1, report=closed)
    assert store.missing(SEEDS) == SEEDS


def test_a_net_begun_alone_is_taken_up_alone(images):
    class Stop(Exception):
        pass

    def stop(share):
        if share > 0.4:
            raise Stop

    partial = nets._weights_of(SEEDS[0]).with_suffix(".partial")
    partial.parent.mkdir(parents=True)
    with pytest.raises(Stop):
        training.train(SEEDS[0], images, checkpoint=partial, checkpoint_every=0, progress=stop)
    said = []
    store.train_all(SEEDS, jobs=1, report=said.append)
    assert any("training 2 like" in text for text in said) and not partial.exists()
    alone, _ = training.train(SEEDS[0], images)
    assert torch.equal(weights(store.get(SEEDS[0])), weights(alone))


def test_they_are_announced_as_nets_with_the_time_of_the_stack(monkeypatch):
    monkeypatch.setattr(stacked, "time_step", lambda recipes, images: 0.1 * len(recipes))
    # 5 steps of 4 epochs of 3 nets, each with a tenth of a second for every net in the stack
    assert store.estimate(SEEDS, jobs=1) == "3 nets to train, about 18 s in one process."


def test_a_step_is_timed_for_every_net_in_the_stack(images):
    noisy = replace(ONE, inputs=part("noise_modulation"))
    assert 0 < stacked.time_step([ONE, noisy] * 4, images) < 1


def test_the_code_of_stacks_is_part_of_the_name_of_what_they_train():
    assert keys._training_code(ONE)[0] != keys._training_code(replace(ONE, augment=True))[0]
