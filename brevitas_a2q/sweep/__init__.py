"""Many training runs: a space of configurations, a queue that survives kills, and what came out."""
