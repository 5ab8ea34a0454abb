"""Judges tokens with `joserfc`, an implementation that shares no code with Vicar.

  .venv/bin/python verify_many.py < lines of JSON

The first line says what to verify against: {"issuer", "audience", "algorithms", "tolerance",
"now", "jwks"}. Every further line is a token as a JSON text. Answers each with one line on stdout,
`accepted` or `refused` and the reason.
"""

import json
import sys
import warnings

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry


class Registry(JWSRegistry):
    """The library's rules for headers, but for two limits that RFC 7515 does not have."""

    max_header_length = 16 * 1024

    def __init__(self, algorithms):
        # Members that nobody knows must be ignored (RFC 7515 section 4).
        super().__init__(algorithms=algorithms, strict_check_header=False)


def judge(token, key, registry, claims):
    """The judgement on one token."""
    try:
        claims.validate(jwt.decode(token, key, registry=registry).claims)
    # Whatever it raises, it did not accept the token.
    except Exception as error:  # pylint: disable=broad-except
        return f"refused {type(error).__name__}"
    return "accepted"


def main():
    """Reads the lines and answers them."""
    # RFC 9864 gives EdDSA another name; issuers go on using this one.
    warnings.simplefilter("ignore", SecurityWarning)
    lines = (json.loads(line) for line in sys.stdin.buffer)
    rules = next(lines)
    keys = KeySet.import_key_set(rules["jwks"])
    by_algorithm = {key.get("alg"): key for key in keys}

    def key(jws):
        # The library itself looks keys up by name only; without a name, one key has the algorithm.
        header = jws.headers()
        return keys if "kid" in header else by_algorithm[header["alg"]]

    claims = jwt.JWTClaimsRegistry(
        now=rules["now"],
        leeway=rules["tolerance"],
        iss={"essential": True, "value": rules["issuer"]},
        aud={"essential": True, "values": [rules["audience"]]},
        exp={"essential": True},
    )
    registry = Registry(rules["algorithms"])
    for token in lines:
        print(judge(token, key, registry, claims))


if __name__ == "__main__":
    main()
