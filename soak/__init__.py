"""Endurance: the real daemon under faults, on virtual time and as real processes."""
