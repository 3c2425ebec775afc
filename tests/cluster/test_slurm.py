"""A sweep on a real Slurm of one node, which slurm.sh starts and stops; a job is cancelled and taken up."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from companion.publishing.running import sweeps
from tests.cluster import sweep
from tests.cluster.sweep import FOUR, THREE
from tests.publishing.conftest import checkout  # noqa: F401
from tests.publishing.test_runner import alive, leftovers, wait_for

SCRIPT = Path(__file__).with_name("slurm.sh")
CONF = Path("/etc/slurm/slurm.conf")
# No accounting here: states come from squeue, and nobody has an account.
SITE = """\
slurm-status-command: squeue
slurm-no-account: true
slurm-init-seconds-before-status-checks: 2
seconds-between-status-checks: 2
"""

pytestmark = [
    sweep.needs_snakemake,
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "geteuid")
        or os.geteuid() != 0
        or not (shutil.which("slurmctld") and shutil.which("munged")),
        reason="needs root, and slurm-wlm and munge of Debian",
    ),
    pytest.mark.skipif(CONF.exists(), reason=f"{CONF} is there: this machine has a Slurm already"),
]


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch):
    """Start Slurm; name the site's settings to Snakemake."""
    folder = tmp_path_factory.mktemp("slurm")
    for above in (folder, *folder.parents[:3]):  # pytest's folders are closed to munge's own user
        above.chmod(0o755)
    try:
        begun = subprocess.run([SCRIPT, "start", folder], capture_output=True, text=True)
        if begun.returncode:
            pytest.skip(f"Slurm did not start here: {begun.stderr.strip()}")
        (folder / "config.yaml").write_text(SITE)
        monkeypatch.setenv("SNAKEMAKE_PROFILE", str(folder))
        yield
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


def jobs() -> dict[str, str]:
    """Each job's comment, in which the plugin says what it runs, and its number."""
    said = subprocess.run(
        ["squeue", "--noheader", "--format=%k|%i"], capture_output=True, text=True, check=True
    )
    return dict(line.rsplit("|", 1) for line in said.stdout.splitlines())


def test_a_job_is_cancelled_and_the_sweep_goes_on(slurm, checkout):  # noqa: F811
    sweep.prepare(checkout)
    label = sweeps.plan("small", "quick", ["seeds=2", "eps=0.2"]).jobs[0].label
    with sweep.begun(*THREE, "--executor", "slurm", "--jobs", "6") as process:
        kernel = wait_for(lambda: sweep.kernel(checkout), 250)
        (job,) = [number for comment, number in jobs().items() if label in comment]
        subprocess.run(["scancel", job], check=True)
        said = sweep.end(process, 1)
    assert "1 runs are missing; the same command again runs them" in said
    wait_for(lambda: not alive(kernel), 40)
    assert leftovers(checkout.folder("small")) == []
    assert len(list(checkout.folder("small").parent.glob("small*"))) == 5

    said = sweep.whole(*THREE, "--executor", "slurm", "--jobs", "6")
    assert "6 runs: 5 up to date, 1 to run" in said and sweep.ran(said) == 1
    assert sweep.table(checkout) == sweep.expected(3)

    said = sweep.whole(*FOUR, "--executor", "slurm", "--jobs", "6")
    assert "8 runs: 6 up to date, 2 to run" in said and said.count("has been submitted") == 2
    assert sweep.table(checkout) == sweep.expected(4)
