"""A reproducible companion to five papers on robustness and input-gradient interpretability."""

__version__ = "0.1.0"
