"""Directive `laboratory`: the page that computes, with the nets a run has left for it."""

from __future__ import annotations

import shutil
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

from companion.publishing.explorers import laboratory


class Laboratory(Directive):
    """Insert the laboratory."""

    def run(self) -> list[nodes.Node]:
        env = self.state.document.settings.env
        env.note_reread()  # it depends on a run, which Sphinx does not watch
        static = "/".join([*[".."] * env.docname.count("/"), "_static"])
        return [nodes.raw("", laboratory.page(env.config.companion_profile, static), format="html")]


def copy_nets(app, exception: Exception | None) -> None:
    """Copy the nets into the site."""
    nets = laboratory.nets_file(app.config.companion_profile)
    if exception is None and app.builder.format == "html" and nets is not None:
        shutil.copyfile(nets, Path(app.outdir) / "_static" / laboratory.FILE)


def setup(app) -> dict:
    app.add_directive("laboratory", Laboratory)
    app.connect("build-finished", copy_nets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
