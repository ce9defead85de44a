"""Preparing hosts: a plan carried out on all of them, journalled, and taken back."""
