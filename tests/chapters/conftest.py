"""A chapter's run in profile smoke; a refusal of the command line, in this process: another one would spend
its second on starting Python."""

import json

import pytest

from companion.publishing import cli
from companion.publishing.running import runner
from tests.chapter import checkout_at, companion


@pytest.fixture
def assert_refused(capsys, monkeypatch):
    """Return a function that asserts: one line on stderr that names `words`, exit 2, and nothing runs."""
    monkeypatch.setattr(runner, "run", lambda *plan: pytest.fail("it was started"))

    def check(words, *arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        out, err = capsys.readouterr()
        assert ended.value.code == 2 and not out
        assert words in err and len(err.strip().splitlines()) == 1

    return check


@pytest.fixture(scope="module")
def smoke(request, tmp_path_factory):
    """A run of the module's chapter NAME, in a copy of the checkout's sources with an empty store.

    Its folder, its rows and the environment that it ran in.
    """
    name, root = request.module.NAME, tmp_path_factory.mktemp("checkout")
    env = checkout_at(root)
    done = companion("run", name, "--profile", "smoke", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = root / "runs" / "smoke" / name
    return folder, json.loads((folder / "results.json").read_text())["rows"], env
