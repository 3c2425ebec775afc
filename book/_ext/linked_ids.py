"""Make the ids of errata, claims and experiments, wherever a page mentions them, links to their places."""

from __future__ import annotations

from companion.publishing.pages import crossrefs
from companion.publishing.pages.crossrefs import Place


def link_ids(app, pagename: str, templatename: str, context: dict, doctree) -> None:
    """Link the ids in a page's body: errata and claims to their pages, experiments to their sections."""
    if "body" not in context or not pagename.startswith(("notebooks/", "book/")):
        return
    domain = app.env.get_domain("std")
    labels = {name: Place(*where, "") for name, where in domain.anonlabels.items()}
    titles = {name: title for name, (_, _, title) in domain.labels.items()}
    experiments = {
        name.upper(): place._replace(gist=titles.get(name, ""))
        for name, place in labels.items()
        if crossrefs.ID.fullmatch(name.upper())
    }

    def address(place: Place) -> str:
        page = "" if place.page == pagename else app.builder.get_relative_uri(pagename, place.page)
        return f"{page}#{place.anchor}"

    errata, claims = crossrefs.of_errata(), crossrefs.of_claims()
    both = errata | claims if pagename == "book/errata" else claims | errata
    context["body"] = crossrefs.link(context["body"], experiments | both, address)


def setup(app) -> dict:
    app.connect("html-page-context", link_ids)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
