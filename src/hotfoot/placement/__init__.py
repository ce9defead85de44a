"""Where instances should be, and in which order they get there: plans for whole hosts. No I/O."""
