"""The schema of the journal, step by step: Alembic's folder of scripts."""

NEWEST = "0003"
"""The last step."""
