"""One page to look at: what commands printed as JSON, put together for people."""
