"""Benchmark time to first token, time per output token, latency, throughput and memory."""
