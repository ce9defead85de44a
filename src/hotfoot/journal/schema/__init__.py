"""The schema of the journal, step by step: Alembic's folder of scripts."""

NEWEST = "0001"
"""The last step."""
