"""A service of the tests in one folder: it counts prices, and says every so often how many there were."""
