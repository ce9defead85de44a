"""The schema of the journal, step by step: Alembic's folder of scripts."""

NEWEST = "0002"
"""The last step."""
