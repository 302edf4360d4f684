"""What keeps a document out of a corpus: a question in each module."""
