"""Finds secrets in texts, by Yelp's detect-secrets, tuned so that ordinary code passes.

Its detectors of well-known forms (keys of clouds, tokens of forges and payment services, private
keys) look at the whole text. Its measures of entropy would take every hash and every test vector
for a secret, so they look only at lines that assign a value to something called a secret. Those of
its detectors that know a secret by its surroundings alone (`http://user:password@host`, `password
= "..."`) are left out: nearly all they find in published code is an example.

Extra: `codegen`.
"""

import functools
import re
from typing import Any

# Bits of entropy a character from which a string counts as random, and the length that it needs.
_BASE64_BITS = 4.5
_HEX_BITS = 3.0
_SHORTEST = 16

_FORMS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
}
# A header alone occurs in code that reads keys; it must be followed by 40 characters of base64.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\n|[\s\"'+,\\])+[A-Za-z0-9+/]{40}"
)
_NAMED_SECRET = re.compile(
    r"^.*(?:secret|passw(?:or)?d|api_?key|access_?key|auth_?token|private_?key|credential)\w*"
    r"[\"']?\]?\s*(?::=|=>|[:=])\s*[\"'].*$",
    re.IGNORECASE | re.MULTILINE,
)


def find_secrets(text: str) -> frozenset[str]:
    """Returns the kinds of secrets in a text, by detect-secrets' names; empty for most texts."""
    found = {
        detector.secret_type
        for detector in _detectors("forms")
        if next(iter(detector.analyze_string(text)), None) is not None
    }
    if _PRIVATE_KEY.search(text):
        found.add("Private Key")
    for line in _NAMED_SECRET.findall(text):
        for detector in _detectors("entropy"):
            hits = detector.analyze_line(filename="", line=line)
            if any(len(hit.secret_value or "") >= _SHORTEST for hit in hits):
                found.add(detector.secret_type)
    return frozenset(found)


@functools.cache
def _detectors(kind: str) -> tuple[Any, ...]:
    import importlib

    # Imported when first needed, as detect-secrets belongs to an extra.
    from detect_secrets.plugins import high_entropy_strings as entropy

    if kind == "entropy":
        return (
            entropy.Base64HighEntropyString(limit=_BASE64_BITS),
            entropy.HexHighEntropyString(limit=_HEX_BITS),
        )
    modules = {name: importlib.import_module(f"detect_secrets.plugins.{name}") for name in _FORMS}
    return tuple(getattr(modules[name], cls)() for name, cls in _FORMS.items())
