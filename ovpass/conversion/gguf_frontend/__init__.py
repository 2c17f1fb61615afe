"""GGUF by OpenVINO's own frontend: from llama.cpp's graph to a stateful model with OpenVINO GenAI's inputs."""
