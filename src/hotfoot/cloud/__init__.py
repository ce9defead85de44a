"""Where instances live: one Protocol, one adapter for each kind of cloud."""
