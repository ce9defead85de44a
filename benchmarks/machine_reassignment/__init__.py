"""Machine reassignment (ROADEF/EURO challenge 2012, set by Google): the published benchmark nearest to balancing."""
