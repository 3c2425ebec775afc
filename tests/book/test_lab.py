"""A notebook opened live: JupyterLab, a kernel, a control that is moved, and a picture that follows."""

import os
import signal
import socket
import subprocess
import sys
from urllib.request import urlopen

import nbformat
import pytest

from tests.browser import needs_browser, opened, wait

pytestmark = [pytest.mark.slow, needs_browser]
pytest.importorskip("jupyterlab", reason="needs JupyterLab, of the extra `lab`")

CELLS = (
    """\
import torch
from companion import data, models, playground, plots

images = data.load("digits", n_train=10, n_test=20)
torch.manual_seed(0)
net = models.digits_cnn().eval()
""",
    """\
def play(image: int = 3, norm: str = "l2", radius: float = 0.5) -> plots.Shown:
    if image == 5:
        raise ValueError("no image 5 today")
    fig = playground.panel(net, images, image, norm=norm, eps=radius, steps=2)
    return plots.show(fig, alt=f"image {image}, {norm}, {radius:g}")

playground.controls(play, live=True, image=(0, 19), norm=["l2", "linf"], radius=(0.0, 3.0, 0.25))
""",
)
PICTURE = "document.querySelector('.jp-OutputArea .widget-html-content')"
SEEN = f"{PICTURE}?.querySelector('svg[role=img]')?.getAttribute('aria-label')"


@pytest.fixture
def address(tmp_path):
    """JupyterLab on a free port, with a folder that holds one notebook; the address of that notebook."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (tmp_path / "notebooks").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}),
        tmp_path / "notebooks/tiny.ipynb",
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("RUNTIME", "CONFIG", "DATA")}
    environment = os.environ | folders | {"IPYTHONDIR": str(tmp_path / "ipython"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        str(tmp_path / "notebooks"),
        "--no-browser",
        "--allow-root",
    ]
    command += [f"--ServerApp.port={port}", "--IdentityProvider.token=secret", "--expose-app-in-browser"]
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

        def answers() -> bool:
            assert server.poll() is None, (tmp_path / "lab.log").read_text()
            try:
                return urlopen(f"http://127.0.0.1:{port}/api").close() is None
            except OSError:
                return False

        try:
            wait(answers, "JupyterLab")
            yield f"http://127.0.0.1:{port}/lab/tree/tiny.ipynb?token=secret"
        finally:
            server.send_signal(signal.SIGTERM)  # its kernels end with it
            server.wait(30)


def test_a_slider_is_moved_and_the_picture_follows(address, tmp_path):
    with opened(address, tmp_path) as page:
        page.wait("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")
        page.value("void jupyterapp.commands.execute('notebook:run-all-cells')")
        assert page.wait(SEEN) == "image 3, l2, 0.5"
        before = page.value(f"{PICTURE}.innerHTML")
        page.value("document.querySelector('.jp-OutputArea .noUi-handle').focus()")
        page.press("ArrowRight")
        page.wait(f"{SEEN} === 'image 4, l2, 0.5'", 20)
        assert page.value(f"{PICTURE}.innerHTML") != before
        page.press("ArrowRight")
        page.wait(f"{PICTURE}.textContent === 'ValueError: no image 5 today'", 20)
        page.press("ArrowRight")
        page.wait(f"{SEEN} === 'image 6, l2, 0.5'", 20)
