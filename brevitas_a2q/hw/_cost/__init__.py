"""What a folded unit costs, by model: FINN's own formulas (``finn``) or fitted to real synthesis (``synthesis``)."""
