"""Finds texts that were seen before, white space aside."""

import hashlib


class Seen:
    """Remembers the texts asked about so far, in 16 bytes each (and the set's overhead)."""

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()

    def __call__(self, text: str) -> bool:
        """Returns whether the text, white space aside, was asked about before."""
        # Lone surrogates are no valid UTF-8, but a text may hold them.
        words = " ".join(text.split()).encode("utf-8", errors="surrogatepass")
        digest = hashlib.blake2b(words, digest_size=16).digest()
        if digest in self._hashes:
            return True
        self._hashes.add(digest)
        return False
