"""What users of a model feel: time to first token, time per output token, latency, throughput, memory."""
