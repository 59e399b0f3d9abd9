"""trade-executor: claims, signs and sends each command once, and follows every offer to its end."""
