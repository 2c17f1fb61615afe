"""Which sites cost what, which of them break a model, and which setting to ship."""
