"""One migration: options, preflight, progress, outage watch, run, result."""
