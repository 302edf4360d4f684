"""Text and code: tokenizers, languages, filters, corpora, packing and batches."""
