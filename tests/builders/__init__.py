"""Synthetic models for tests: every way of compressing weights, and the graphs transformers make of them."""

from .bodies import if_model, loop_model, tensor_iterator_model
from .chains import compress, constant, weights
from .encoder import encoder_model
from .formats import FORMATS, WeightFormat, weight_format
from .layers import (
    activation,
    add_bias,
    attention_model,
    finish,
    linear_model,
    lora_model,
    matmul,
    pair_model,
    project,
    shared_model,
    swiglu,
    swiglu_model,
    tied_model,
    trio_model,
)
from .llama import LlamaConfig, llama_model
from .names import number_nodes
from .planted import PLANTED, planted_llama, planted_name, save_planted

__all__ = [
    "FORMATS",
    "PLANTED",
    "LlamaConfig",
    "WeightFormat",
    "activation",
    "add_bias",
    "attention_model",
    "compress",
    "constant",
    "encoder_model",
    "finish",
    "if_model",
    "linear_model",
    "llama_model",
    "loop_model",
    "lora_model",
    "matmul",
    "number_nodes",
    "pair_model",
    "planted_llama",
    "planted_name",
    "project",
    "save_planted",
    "shared_model",
    "swiglu",
    "swiglu_model",
    "tensor_iterator_model",
    "tied_model",
    "trio_model",
    "weight_format",
    "weights",
]
