"""Secrets, planted; and ordinary code, which has none. No secret here is a real one."""

import pytest

from hrm_jax.data.corpus import credentials

# Put together here, so that scanners of this file find nothing.
AWS = "AKIA" + "QWERTYUIOPASDFGH"
GITHUB = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
SLACK = "xoxb-" + "123456789012-123456789012-abcdefghijklmnop"
KEY = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEpAIBAAKCAQEA75tJ5Pq3mW0zq1kFh4c9tq8xw2\n"
RANDOM = "q7Zt9-Xw3Lk8Vb2Nm5Rc1Yf6Hd4Gs0JpQaEu"
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"client = connect('{AWS}')\n", "AWS Access Key"),
        (f"# {GITHUB}\n", "GitHub Token"),
        (f'{{"hook": "{SLACK}"}}', "Slack Token"),
        (f"x = 1\n{KEY}", "Private Key"),
        (KEY.replace("\n", "\\n"), "Private Key"),
        (f'a = 1\nAPI_KEY = "{RANDOM}"\n', "Base64 High Entropy String"),
        (f"  'db_password': '{RANDOM}',\n", "Base64 High Entropy String"),
        (f'secret_token: "{HEX}"', "Hex High Entropy String"),
    ],
)
def test_planted_secrets_are_found(text, kind):
    assert kind in credentials.find_secrets(text)


@pytest.mark.parametrize(
    "text",
    [
        "def get_secret(name):\n    return os.environ[name]\n",
        f'EXPECTED_SHA = "{HEX}"\n',
        f'assert digest == "{RANDOM}"\n',
        'password = "correct horse battery staple"\n',
        'API_KEY = "YOUR_API_KEY"\n',
        'url = "http://user:password@localhost/"\n',
        'token_type = "application/vnd.example+json"\n',
        "if '-----BEGIN RSA PRIVATE " + "KEY-----' in line:\n    start()\n",
        'ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"\n',
    ],
)
def test_ordinary_code_passes(text):
    assert credentials.find_secrets(text) == frozenset()
