"""Interaction in a static page, without a kernel."""
