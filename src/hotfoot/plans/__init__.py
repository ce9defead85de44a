"""Plans for whole hosts, carried out: looked at, planned, kept in the journal, moved, planned anew."""
