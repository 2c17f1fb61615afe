"""What a setting costs: perplexity, divergence from a clean reference, and errors of embeddings."""
