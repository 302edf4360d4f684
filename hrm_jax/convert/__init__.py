"""Conversion of weights, configs and tokenizers from and to PyTorch, Hugging Face and GGUF."""
