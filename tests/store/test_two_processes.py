"""Two processes on one store, as two jobs of a cluster are: a net that both need is trained once."""

import json
import os
import subprocess
import sys

import pytest

# Waits for the other process, so that both ask at the same moment.
SCRIPT = """
import json, pathlib, sys, time
from companion import store
from companion.store.nets import weights_hash
from companion.training import Recipe, part
here, there = map(pathlib.Path, sys.argv[1:])
recipe = Recipe(data=part("digits", n_train=300), model=part("mlp", hidden=(32, 32)), epochs=20)
here.touch()
while not there.exists():
    time.sleep(0.005)
said = []
store.get(recipe, report=said.append)
print(json.dumps([len(said), weights_hash(recipe)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("locks", ["", "soft"])
def test_two_processes_train_a_net_once(tmp_path, locks):
    places = [str(tmp_path / name) for name in ("first", "second")]
    environment = {**os.environ, "COMPANION_STORE": str(tmp_path / "store"), "COMPANION_LOCKS": locks}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *order],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for order in (places, places[::-1])
    ]
    ended = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    (first, of_first), (second, of_second) = (json.loads(out) for out, _ in ended)
    assert of_first == of_second and sorted([first, second])[0] == 0 < max(first, second)
    assert len(list((tmp_path / "store").glob("*.safetensors"))) == 1
