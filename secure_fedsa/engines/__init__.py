"""Ways to run the parties: all in one process, or (later) across machines."""
