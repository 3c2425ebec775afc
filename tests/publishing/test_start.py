"""The command's first moments."""

import errno
import sys

import pytest

from companion.publishing import __main__ as start


def test_ctrl_c_during_the_imports_is_one_line(monkeypatch, capsys):
    class Interrupted:
        def find_spec(self, name, path=None, target=None):
            if name == "companion.publishing.cli":
                raise KeyboardInterrupt

    for name in [name for name in sys.modules if name == "companion.publishing.cli"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("companion.publishing.cli", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130 and capsys.readouterr().err == "companion: interrupted\n"


def test_a_full_disk_is_one_line(monkeypatch, capsys):
    from companion.publishing import cli
    from companion.publishing.running import runner

    def full(*given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner, "plan", full)
    with pytest.raises(SystemExit) as ended:
        cli.main(["run"])
    assert ended.value.code == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("companion: ") and said.endswith("runs: No space left on device")
