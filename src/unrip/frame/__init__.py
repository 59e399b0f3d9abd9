"""The frame every service stands in: lifecycle, effects, control surface, arming, auth, logs, metrics, beat."""
