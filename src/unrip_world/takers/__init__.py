"""Those who ask for quotes and take the best one. Pure."""
