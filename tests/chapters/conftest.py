"""A refusal of the command line, in this process: another one would spend its second on starting Python."""

import pytest

from companion.publishing import cli
from companion.publishing.running import runner


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
