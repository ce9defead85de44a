"""Getting onto a host."""
