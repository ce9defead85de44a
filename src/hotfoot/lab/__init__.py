"""Real compute hosts on one machine, for trying, testing and rehearsing."""
