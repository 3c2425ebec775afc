"""The papers' claims: rules as data, rows they are decided on, verdicts."""
