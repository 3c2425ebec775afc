"""Hashes and the commit."""

import subprocess

import pytest

from companion.publishing.running import provenance

SOURCE = (
    '"""Doc."""\n\n\nclass A:\n    """Doc."""\n\n    def f(self):\n        """Doc."""\n        return 1\n'
)


def hashed(folder, text: str) -> str:
    """Return the hash of a package of one file."""
    (folder / "a.py").write_text(text, "utf-8")
    return provenance.source_hash(folder)


@pytest.mark.parametrize(
    "text",
    [
        SOURCE.replace("Doc.", "Other words.\n\n    And more."),
        SOURCE.replace('"""Doc."""\n\n\nclass', "class"),
        SOURCE.replace("return 1", "return 1  # one"),
        SOURCE.replace("return 1", "return (1)\n\n"),
    ],
)
def test_words_do_not_change_the_source_hash(tmp_path, text):
    assert text != SOURCE
    assert hashed(tmp_path, text) == hashed(tmp_path, SOURCE)


@pytest.mark.parametrize(
    "text",
    [
        SOURCE.replace("return 1", "return 2"),
        SOURCE.replace("return 1", "return 1.0"),
        SOURCE.replace("def f", "def g"),
        SOURCE.replace("return 1", 'x = """Doc."""\n        return 1'),
        SOURCE + "(",
    ],
)
def test_code_changes_the_source_hash(tmp_path, text):
    assert hashed(tmp_path, text) != hashed(tmp_path, SOURCE)


def test_names_of_files_change_the_source_hash(tmp_path):
    before = hashed(tmp_path, SOURCE)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.py").write_text("", "utf-8")
    with_b = provenance.source_hash(tmp_path)
    (tmp_path / "sub" / "b.py").rename(tmp_path / "sub" / "c.py")
    assert len({before, with_b, provenance.source_hash(tmp_path)}) == 3


def test_digest_ignores_the_order_of_keys():
    assert provenance.digest({"a": 1, "b": [1, 2]}) == provenance.digest({"b": [1, 2], "a": 1})
    assert provenance.digest({"a": 1}) != provenance.digest({"a": 1.0})


def test_commit(tmp_path):
    def git(*words: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert provenance.commit.__wrapped__(tmp_path) == (None, None)
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert provenance.commit.__wrapped__(tmp_path) == (head, False)
    (tmp_path / "b").write_text("1")
    assert provenance.commit.__wrapped__(tmp_path) == (head, True)
    (tmp_path / "inner").mkdir()
    assert provenance.commit.__wrapped__(tmp_path / "inner") == (None, None)


def test_versions_name_what_is_missing(monkeypatch):
    monkeypatch.setattr(provenance, "_RECORDED", ("numpy", "no-such-distribution"))
    found = provenance.versions()
    assert found["numpy"] and found["no-such-distribution"] is None and found["python"].startswith("3.")
