"""Where instances live: one Protocol, one adapter for each kind of cloud."""

import os

# Read when libvirt is first imported: its client otherwise logs warnings to standard error beside our sentence.
os.environ.setdefault("LIBVIRT_DEBUG", "4")
