"""Measure accuracy: perplexity, KL divergence from a reference, and errors of embeddings."""
