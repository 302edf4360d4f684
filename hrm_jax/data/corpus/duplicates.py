"""Was a text seen before, white space aside?"""

import hashlib


class Seen:
    """The texts asked about so far; 16 bytes for each."""

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()

    def __call__(self, text: str) -> bool:
        """Returns whether the text, white space aside, was asked about before."""
        words = " ".join(text.split()).encode("utf-8", errors="surrogatepass")
        digest = hashlib.blake2b(words, digest_size=16).digest()
        if digest in self._hashes:
            return True
        self._hashes.add(digest)
        return False
