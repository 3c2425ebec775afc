"""Training and the store: exactness under interruption, damage, reuse."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch

from companion import code as fingerprint
from companion import data, losses, models, saliency, store, training
from companion.store import inputs, nets
from companion.training import checkpoint, loop
from companion.training.recipe import Mask, Recipe, Target, digest, needed, part

PLAIN = Recipe(part("digits", n_train=150), part("digits_cnn"), epochs=3)
ATTACK = part("adversarial", norm="l2", eps=0.3, steps=2, protocol="ir_paper")
ROBUST = dataclasses.replace(PLAIN, inputs=ATTACK)
IR = dataclasses.replace(
    PLAIN,
    loss=part("interpretation", lambda_d=1.0, lambda_m=0.05),
    target=Target(ROBUST, part("smoothgrad", samples=2, sigma=0.1), permute=0.5),
)
ADAM = part("Adam", lr=1e-3)
JACOBIAN = dataclasses.replace(PLAIN, loss=part("jacobian", lambda_j=0.1))


@pytest.fixture(autouse=True)
def fresh_store(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "store"))
    store.images.cache_clear()


def weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


class TestTraining:
    def test_it_learns(self):
        faster = part("SGD", lr=0.05, momentum=0.9)
        net = store.get(dataclasses.replace(PLAIN, data=part("digits"), epochs=8, optimiser=faster))
        images = data.load("digits")
        assert (net(images.x_test).argmax(1) == images.y_test).float().mean() > 0.9

    @pytest.mark.parametrize("recipe", [PLAIN, ROBUST, JACOBIAN], ids=["plain", "robust", "jacobian"])
    def test_same_recipe_same_weights_and_global_random_state_untouched(self, recipe):
        images = data.load("digits", n_train=150)
        state = torch.get_rng_state()
        first, _ = training.train(recipe, images)
        assert torch.equal(state, torch.get_rng_state())
        torch.rand(5)
        second, _ = training.train(recipe, images)
        assert torch.equal(weights(first), weights(second))
        other, _ = training.train(dataclasses.replace(recipe, seed=1), images)
        assert not torch.equal(weights(first), weights(other))

    @pytest.mark.parametrize("optimiser", [PLAIN.optimiser, ADAM], ids=["SGD", "Adam"])
    @pytest.mark.parametrize("recipe", [PLAIN, ROBUST, JACOBIAN], ids=["plain", "robust", "jacobian"])
    def test_a_training_resumed_from_its_checkpoint_ends_with_the_same_weights(
        self, recipe, optimiser, tmp_path
    ):
        recipe = dataclasses.replace(recipe, optimiser=optimiser)
        images = data.load("digits", n_train=150)
        whole, history = training.train(recipe, images)

        class Stop(Exception):
            pass

        def stop_at_two_thirds(share):
            if share > 0.5:
                raise Stop

        path = tmp_path / "part"
        with pytest.raises(Stop):
            training.train(recipe, images, checkpoint=path, checkpoint_every=0, progress=stop_at_two_thirds)
        seen = []
        resumed, again = training.train(recipe, images, checkpoint=path, progress=seen.append)
        assert seen[0] > 0.5  # it went on, it did not start again
        assert torch.equal(weights(whole), weights(resumed))
        assert [h["loss"] for h in history] == [h["loss"] for h in again]

    def test_a_damaged_checkpoint_is_said_and_ignored(self, tmp_path):
        images = data.load("digits", n_train=150)
        path = tmp_path / "part"
        path.write_bytes(b"half a file")
        with pytest.warns(UserWarning, match="damaged"):
            net, _ = training.train(PLAIN, images, checkpoint=path)
        assert torch.equal(weights(net), weights(training.train(PLAIN, images)[0]))

    def test_a_checkpoint_of_another_device_is_said_and_ignored(self, tmp_path, monkeypatch):
        images = data.load("digits", n_train=150)
        path = tmp_path / "part"
        monkeypatch.setattr(checkpoint, "_device_of", lambda model: "cuda")
        training.train(PLAIN, images, checkpoint=path, checkpoint_every=0)
        monkeypatch.undo()
        with pytest.warns(UserWarning, match="made on cuda"):
            training.train(PLAIN, images, checkpoint=path)

    @pytest.mark.parametrize("loss", ["double_backprop", "jacobian"])
    def test_the_loss_is_not_differentiated_with_respect_to_the_images(self, monkeypatch, loss):
        """They need a gradient for the penalty, and take no part in the update."""
        seen = []

        def watched(**shape):
            net = models.digits_cnn(**shape)
            net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
            return net

        monkeypatch.setattr(models, "watched", watched, raising=False)
        weight = {"double_backprop": "lambda_g", "jacobian": "lambda_j"}[loss]
        recipe = dataclasses.replace(PLAIN, model=part("watched"), loss=part(loss, **{weight: 0.1}), epochs=1)
        net, _ = training.train(recipe, store.images(PLAIN.data, "cpu"))
        steps, after = seen[:-1], seen[-1]
        assert len(steps) == 3 and all(x.requires_grad and x.grad is None for x in steps)
        assert not after.requires_grad  # the look at the last update
        assert all(p.grad is not None for p in net.parameters())

    @pytest.mark.parametrize(
        "optimiser",
        [
            part("SGD", lr=0.05, momentum=0.9, weight_decay=1e-3),
            part("Adam", lr=1e-3),
            part("AdamW", lr=1e-3),
        ],
    )
    def test_the_quick_step_is_the_plain_step_up_to_rounding(self, optimiser, monkeypatch):
        """Fused, channels-last, and differentiated with respect to the weights alone."""
        images = data.load("digits", n_train=150)
        recipe = dataclasses.replace(PLAIN, optimiser=optimiser)
        quick, _ = training.train(recipe, images)
        plain = dataclasses.replace(recipe, optimiser=part(optimiser.name, **optimiser.kwargs, fused=False))
        monkeypatch.setattr(loop, "channels_last", lambda model: model)
        slow, _ = training.train(plain, images)
        torch.testing.assert_close(weights(quick), weights(slow), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("lay_out", [lambda net: net, loop.channels_last], ids=["rows", "channels_last"])
    @pytest.mark.parametrize(
        ("build", "size", "channels"),
        [
            (models.simple_cnn, 28, 1),
            (models.br_mnist_cnn, 28, 1),
            (models.small_net, 32, 3),
            (models.resnet, 32, 3),
            (partial(models.wide_resnet, depth=10, width=2), 32, 3),
            (models.vgg, 32, 3),
        ],
    )
    def test_gradients_lie_in_memory_as_weights_do(self, build, size, channels, lay_out):
        """What a fused optimiser takes for granted on a CPU; it would pair the wrong numbers."""
        net = lay_out(build(in_channels=channels, size=size))
        x, y = torch.rand(2, channels, size, size), torch.tensor([0, 1])
        for loss in (losses.cross_entropy(net, x, y), losses.double_backprop(net, x, y, lambda_g=1.0)):
            net.zero_grad()
            loss.backward(inputs=list(net.parameters()))
            for weight in net.parameters():
                numbered = torch.arange(weight.numel()).view(weight.shape)
                order = [torch.empty_like(t, dtype=torch.long).copy_(numbered) for t in (weight, weight.grad)]
                assert torch.equal(*(o.as_strided((o.numel(),), (1,)) for o in order))

    @pytest.mark.parametrize("name", ["SGD", "Adam", "Adadelta"])
    def test_an_optimiser_is_fused_where_its_class_can_be(self, name):
        recipe = dataclasses.replace(PLAIN, optimiser=part(name, lr=0.1))
        optimiser = loop.optimiser_of(recipe, torch.nn.Linear(2, 2).parameters())
        assert type(optimiser) is getattr(torch.optim, name)
        assert optimiser.defaults["lr"] == 0.1 and bool(optimiser.defaults.get("fused")) == (
            name != "Adadelta"
        )

    def test_divergence_is_an_error_that_says_what_to_do(self):
        wild = dataclasses.replace(PLAIN, optimiser=part("SGD", lr=1e9))
        with pytest.raises(training.Diverged, match="lower the learning rate"):
            training.train(wild, data.load("digits", n_train=150))

    def test_a_divergence_in_the_last_update_is_seen(self):
        """The loss before it was finite."""
        once = dataclasses.replace(PLAIN, epochs=1, batch_size=150, optimiser=part("SGD", lr=1e30))
        with pytest.raises(training.Diverged, match="ends with logits"):
            training.train(once, data.load("digits", n_train=150))

    @pytest.mark.parametrize(
        ("schedule", "expected"),
        [
            ("constant", [0.01] * 5),
            ("cosine", [0.01, 0.00904508, 0.00654508, 0.00345492, 0.00095492]),
            ("step", [0.01, 0.01, 0.001, 0.001, 0.0001]),
        ],
    )
    def test_schedules(self, monkeypatch, schedule, expected):
        rates = []
        original = torch.optim.SGD.step

        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return original(self, *args, **kwargs)

        monkeypatch.setattr(torch.optim.SGD, "step", step)
        recipe = dataclasses.replace(PLAIN, schedule=schedule, epochs=5, batch_size=150)
        training.train(recipe, data.load("digits", n_train=150))
        assert rates == pytest.approx(expected, rel=1e-5)

    def test_best_test_keeps_the_best_epoch_of_the_second_half_and_last_does_not_look(self):
        images = data.load("digits", n_train=150)
        net, history = training.train(dataclasses.replace(PLAIN, epochs=6, select="best_test"), images)
        found = (net(images.x_test).argmax(1) == images.y_test).float().mean().item()
        assert found == pytest.approx(max(h["test_accuracy"] for h in history[3:]))
        assert "test_accuracy" not in training.train(PLAIN, images)[1][0]

    def test_augmentation_moves_image_and_target_together(self, monkeypatch):
        images = data.load("digits", n_train=60)
        seen = []
        from companion import losses

        def spy(model, x, y, target):
            seen.append((x.detach().clone(), target.detach().clone()))
            return losses.cross_entropy(model, x, y)

        monkeypatch.setattr(losses, "spy", spy, raising=False)
        target = Target(PLAIN, part("input_gradient"), phi=None)
        recipe = dataclasses.replace(PLAIN, loss=part("spy"), target=target, augment=True, epochs=1)
        training.train(recipe, images, target=images.x_train.clone())
        assert all(torch.equal(x, t) for x, t in seen)
        assert not torch.equal(torch.cat([x for x, _ in seen]).sort(0).values, images.x_train.sort(0).values)

    def test_targets_are_thresholded_in_training(self, monkeypatch):
        from companion import losses

        seen = []

        def spy(model, x, y, target):
            seen.append(target)
            return losses.cross_entropy(model, x, y)

        monkeypatch.setattr(losses, "spy", spy, raising=False)
        images = data.load("digits", n_train=50)
        recipe = dataclasses.replace(
            PLAIN, loss=part("spy"), target=Target(PLAIN, part("input_gradient"), phi=1.0), epochs=1
        )
        maps = torch.randn(images.x_train.shape)
        training.train(recipe, images, target=maps)
        expected = saliency.threshold(maps, 1.0)
        order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
        assert torch.equal(seen[0], expected[order])


class TestStore:
    def test_a_net_is_trained_once(self, monkeypatch):
        first = store.get(IR)
        monkeypatch.setattr(nets, "train", None)  # a second training would fail
        assert torch.equal(weights(store.get(IR)), weights(first))
        assert len(store.history(IR)) == 3

    def test_every_field_of_a_recipe_changes_its_key(self):
        changed = [
            dataclasses.replace(PLAIN, **{name: value})
            for name, value in {
                "data": part("digits", n_train=151),
                "model": part("digits_cnn", dropout=0.1),
                "loss": part("jacobian", lambda_j=1.0),
                "inputs": ATTACK,
                "target": IR.target,
                "mask": Mask(0.5),
                "optimiser": part("SGD", lr=0.02),
                "schedule": "constant",
                "augment": True,
                "epochs": 4,
                "batch_size": 51,
                "select": "best_test",
                "seed": 1,
            }.items()
        ]
        assert {f.name for f in dataclasses.fields(Recipe)} == {
            *("data", "model", "loss", "inputs", "target", "mask", "optimiser", "schedule"),
            *("augment", "epochs", "batch_size", "select", "seed"),
        }
        assert len({store.key(r) for r in [PLAIN, *changed]}) == len(changed) + 1

    def test_every_field_of_a_mask_changes_the_key(self):
        mask = Mask(0.5, source=ROBUST, map=part("loss_gradient"))
        changed = [
            dataclasses.replace(mask, **{name: value})
            for name, value in {
                "fraction": 0.4,
                "source": PLAIN,
                "map": part("gradient_x_input"),
                "remove": "smallest",
                "unit": "entry",
                "fill": 0.0,
                "shows": "mask",
                "seed": 1,
            }.items()
        ]
        assert len(changed) == len(dataclasses.fields(Mask))
        keys = {store.key(dataclasses.replace(PLAIN, mask=m)) for m in [None, mask, *changed]}
        assert len(keys) == len(changed) + 2

    def test_a_net_depends_on_the_code_it_is_trained_by_and_on_no_other(self, monkeypatch):
        def touched(recipe, module):
            """Whether the recipe's key changes with the module's code."""
            read = fingerprint._read
            before = store.key(recipe)
            with monkeypatch.context() as patch:
                patch.setattr(fingerprint, "_read", lambda n: read(n) + "\nx = 1" * (n == module))
                fingerprint.fingerprint.cache_clear()
                after = store.key(recipe)
            fingerprint.fingerprint.cache_clear()
            return before != after

        adversarial = dataclasses.replace(PLAIN, inputs=ATTACK)
        assert touched(PLAIN, "companion.models.cnn") and touched(PLAIN, "companion.data.packaged")
        assert touched(adversarial, "companion.attacks.norms") and not touched(
            PLAIN, "companion.attacks.norms"
        )
        assert touched(IR, "companion.saliency.maps") and not touched(PLAIN, "companion.saliency.maps")
        assert not touched(adversarial, "companion.losses.jacobian")

    def test_a_net_depends_on_the_code_of_its_sources(self, monkeypatch):
        source = dataclasses.replace(PLAIN, loss=part("jacobian", lambda_j=0.1))
        users = (
            dataclasses.replace(PLAIN, mask=Mask(0.5, source=source, map=part("loss_gradient"))),
            dataclasses.replace(IR, target=dataclasses.replace(IR.target, source=source)),
        )
        before = [store.key(user) for user in users]
        read = fingerprint._read
        monkeypatch.setattr(
            fingerprint, "_read", lambda n: read(n) + "\nx = 1" * (n == "companion.losses.jacobian")
        )
        fingerprint.fingerprint.cache_clear()
        after = [store.key(user) for user in users]
        monkeypatch.undo()
        fingerprint.fingerprint.cache_clear()
        assert all(a != b for a, b in zip(before, after, strict=True))

    @pytest.mark.slow
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_the_rest_is_trained_after_a_failure(self, jobs):
        wild = dataclasses.replace(PLAIN, optimiser=part("SGD", lr=1e9))
        with pytest.raises(training.Diverged):
            store.train_all([wild, PLAIN, JACOBIAN], jobs=jobs)
        assert store.missing([wild, PLAIN, JACOBIAN]) == [wild]

    def test_keys_do_not_depend_on_the_order_or_kind_of_settings(self):
        assert part("a", x=1, y=[2, 3]) == part("a", y=(2, 3), x=1)
        assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})

    @pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b[:-1] + bytes([b[-1] ^ 1])])
    def test_truncated_or_altered_weights_are_noticed_said_and_rebuilt(self, damage):
        good = weights(store.get(PLAIN))
        path = store.folder() / f"{store.key(PLAIN)}.safetensors"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.warns(UserWarning, match="checksum"):
            rebuilt = store.get(PLAIN)
        assert torch.equal(weights(rebuilt), good)
        assert torch.equal(weights(store.get(PLAIN)), good)

    def test_a_damaged_note_is_rebuilt(self):
        store.get(PLAIN)
        (store.folder() / f"{store.key(PLAIN)}.json").write_text("{")
        with pytest.warns(UserWarning, match="damaged"):
            store.get(PLAIN)
        assert store.present(PLAIN)

    def test_weights_without_a_note_do_not_count(self):
        store.get(PLAIN)
        (store.folder() / f"{store.key(PLAIN)}.json").unlink()
        assert not store.present(PLAIN)

    @pytest.mark.slow
    def test_processes_give_the_same_nets_sources_first(self):
        sequential = store.get_all([IR, PLAIN], jobs=1)
        os.environ["COMPANION_STORE"] += "-2"
        seen = []
        parallel = store.get_all([IR, PLAIN], jobs=2, report=seen.append)
        assert all(torch.equal(weights(a), weights(b)) for a, b in zip(sequential, parallel, strict=True))
        assert any("of 3 nets" in text for text in seen)

    @pytest.mark.slow
    def test_a_failure_in_a_process_is_raised_and_the_rest_is_kept(self):
        wild = dataclasses.replace(PLAIN, optimiser=part("SGD", lr=1e9))
        with pytest.raises(training.Diverged):
            store.get_all([wild, ROBUST], jobs=2)
        assert store.present(ROBUST) and not store.present(wild)

    @pytest.mark.slow
    def test_two_at_a_time_say_what_is_trained(self):
        few = [dataclasses.replace(PLAIN, seed=seed) for seed in range(2)]
        seen = []
        store.train_all(few, jobs=2, report=seen.append)
        assert seen[0] == "trained 0 of 2 nets, 1 at a time"
        assert any("; here: training digits" in text for text in seen)
        assert not store.missing(few)

    def test_an_interruption_leaves_the_net_untrained_and_stops(self, monkeypatch):
        def interrupted(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(nets, "get", interrupted)
        many = [dataclasses.replace(PLAIN, seed=seed) for seed in range(3)]
        with pytest.raises(KeyboardInterrupt):
            store.train_all(many, jobs=2)
        assert len(store.missing(many)) == 3

    @pytest.mark.slow
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_threads_and_random_state_are_left_as_they_were(self, jobs):
        before = torch.get_num_threads(), torch.get_rng_state()
        for _ in range(2):  # trained, then loaded
            store.get_all([PLAIN, JACOBIAN], jobs=jobs)
            assert torch.get_num_threads() == before[0] and torch.equal(torch.get_rng_state(), before[1])

    @pytest.mark.slow
    def test_sources_that_fail_leave_their_users_out(self):
        wild = dataclasses.replace(PLAIN, optimiser=part("SGD", lr=1e9))
        user = dataclasses.replace(IR, target=dataclasses.replace(IR.target, source=wild))
        with pytest.raises(training.Diverged):
            store.train_all([user, PLAIN], jobs=2)
        assert store.missing([user, PLAIN]) == [wild, user]

    def test_maps_are_made_once_and_shuffled_afterwards(self, monkeypatch):
        shuffled = store.maps(IR.target, IR)
        plain = store.maps(dataclasses.replace(IR.target, permute=0.0), IR)
        assert torch.equal(plain.flatten(1).sort(1).values, shuffled.flatten(1).sort(1).values)
        assert not torch.equal(plain, shuffled)
        monkeypatch.setattr(inputs, "call", None)
        assert torch.equal(store.maps(IR.target, IR), shuffled)

    def test_maps_of_other_images_are_other_maps(self, monkeypatch):
        one = store.maps(IR.target, IR)
        other = dataclasses.replace(IR, data=part("digits", n_train=150, split_seed=1))
        assert not torch.equal(store.maps(IR.target, other), one)

    def test_missing_lists_each_net_once_with_its_sources_before_it(self):
        left = store.missing([IR, IR, ROBUST])
        assert left == [ROBUST, IR] == needed(IR)
        store.get(ROBUST)
        assert store.missing([IR]) == [IR]
        assert "1 nets to train" in store.estimate([IR])
        store.get(IR)
        assert "nothing is trained" in store.estimate([IR])


KILLED = """
import sys
from companion import store, training
from tests.training.test_training import LONG
training.train.__kwdefaults__["checkpoint_every"] = 0.0
store.get(LONG, report=lambda text: print(text, flush=True))
"""
LONG = dataclasses.replace(PLAIN, data=part("digits"), epochs=20)


@pytest.mark.slow
def test_kill_9_in_the_middle_then_the_same_command_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "20%" in line:
                process.send_signal(signal.SIGKILL)
                break
    assert not store.present(LONG)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    first_share = int(again.stdout.split("%")[0].split()[-1])
    assert first_share > 10  # of 20 epochs, it did not start at the first
    assert not list(store.folder().glob("*.partial"))
    note = json.loads((store.folder() / f"{store.key(LONG)}.json").read_text())
    disturbed = store.get(LONG)
    monkeypatch.setenv("COMPANION_STORE", str(tmp_path / "undisturbed"))
    assert torch.equal(weights(disturbed), weights(store.get(LONG)))
    assert len(note["history"]) == 20
