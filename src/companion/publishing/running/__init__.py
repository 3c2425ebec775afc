"""From a notebook to a run: parameters, profiles, runner, the kernel's side, provenance."""
