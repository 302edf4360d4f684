"""Layers: linear, norm, rotary positions, SwiGLU, attention, blocks, embeddings."""
