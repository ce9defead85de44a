"""Readiness: recorded facts in, findings and changes out. Pure: nothing here reads, writes or asks anything."""
