"""strategy-engine: decides every demand, commands the accepted ones. Holds no key, calls no venue."""
