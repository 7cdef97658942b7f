"""Is it working, and is tonight ready: status, check, and what watches the loop from beside it."""
