"""Writing text: prompts to tokens, prefill and decoding, sampling, and tokens to text."""
