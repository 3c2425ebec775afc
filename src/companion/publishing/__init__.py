"""Everything about notebooks and the book: parameters, runs, provenance, the command line.

This wing knows nothing of tensors. A chapter uses only `companion.publishing.running.chapter`.
"""
