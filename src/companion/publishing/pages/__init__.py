"""What is on pages: tables, badges, errata, scorecard, links; and the check of a built site."""
