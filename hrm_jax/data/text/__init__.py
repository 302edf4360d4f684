"""Text as tokens: tokenizers, languages, packing and batches."""
