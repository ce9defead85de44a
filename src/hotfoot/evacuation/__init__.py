"""Instances of dead hosts started on other hosts, from shared storage, once it is proven that their host is off."""
