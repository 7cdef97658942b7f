"""Months of bad nights in minutes: the real daemon on a virtual clock, seeded faults, and invariants all the time."""
