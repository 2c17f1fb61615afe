"""Find the accuracy cost of sites, the sites that break a model, and the best plan."""
