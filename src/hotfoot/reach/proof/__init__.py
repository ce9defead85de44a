"""Proofs that need two hosts: what one writes, holds or offers, and what the others see of it."""
