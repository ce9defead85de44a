"""The probe: what is sent to a host to learn its facts in one round trip."""
