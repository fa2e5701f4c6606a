"""How much the one-run audit sees: tightness, false alarms, power over planted faults."""
