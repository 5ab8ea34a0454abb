"""Signs tokens for the benchmark: `python sign.py FOLDER COUNT ISSUER AUDIENCE`.

A program of its own, because it needs the `cryptography` package, which the Python that runs the harness may not
have. It makes a key, uses all processors, and leaves three files in FOLDER: `jwks.json`, `tokens.txt` with COUNT
different tokens, one a line, and `probes.json` with tokens for checks before measuring.
"""

import base64
import json
import multiprocessing
import random
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

HEADER = {"alg": "RS256", "kid": "bench", "typ": "JWT"}
TOKEN_LENGTH = 1700
LIFETIME = 24 * 3600  # seconds; longer than any run
CHUNK = 500
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)  # the signing processes inherit it


def main():
    folder, count, issuer, audience = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    (folder / "jwks.json").write_text(json.dumps({"keys": [public_jwk()]}))
    good = token(issuer, audience)
    probes = {
        "good": good,
        "flipped": flipped(good),
        "expired": token(issuer, audience, lifetime=-LIFETIME),
        "for somebody else": token(issuer, "somebody-else"),
    }
    (folder / "probes.json").write_text(json.dumps(probes))
    chunks = [(min(CHUNK, count - start), issuer, audience) for start in range(0, count, CHUNK)]
    # Forked, so that all sign with the same key without it ever being written down.
    with multiprocessing.get_context("fork").Pool() as pool, (folder / "tokens.txt").open("w") as file:
        for tokens in pool.imap(some_tokens, chunks):
            file.writelines(f"{text}\n" for text in tokens)


def some_tokens(chunk):
    count, issuer, audience = chunk
    random.seed()  # a forked process would repeat its siblings' numbers
    return [token(issuer, audience) for _ in range(count)]


def token(issuer, audience, lifetime=LIFETIME):
    """A signed token of about TOKEN_LENGTH characters, with the claims of a usual access token and one that fills up."""
    now = int(time.time())
    claims = {
        "iss": issuer, "aud": audience, "sub": identifier(), "jti": identifier(), "azp": "bench",
        "iat": now - 2 * LIFETIME, "nbf": now - 2 * LIFETIME, "exp": now + lifetime, "scp": "read write",
        "name": "Some User", "preferred_username": "user@tenant.example", "roles": ["Reader", "Writer"],
        "groups": [identifier() for _ in range(8)],
    }
    signature_length = 342
    room = (TOKEN_LENGTH - len(encoded(HEADER)) - signature_length - 2) * 3 // 4
    claims["pad"] = ""
    claims["pad"] = random.randbytes(room // 2).hex()[:room - len(compact(claims))]
    text = f"{encoded(HEADER)}.{encoded(claims)}"
    return f"{text}.{base64url(KEY.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"


def flipped(good):
    """The same with one character of the signature changed; its base64url stays well-formed."""
    head, signature = good[:-10], good[-10:]
    return head + ("B" if signature[0] == "A" else "A") + signature[1:]


def identifier():
    return random.randbytes(16).hex()


def public_jwk():
    numbers = KEY.public_key().public_numbers()
    members = {name: base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))
               for name, value in [("n", numbers.n), ("e", numbers.e)]}
    return {"kty": "RSA", "use": "sig", "alg": HEADER["alg"], "kid": HEADER["kid"], **members}


def compact(members):
    return json.dumps(members, separators=(",", ":")).encode()


def encoded(members):
    return base64url(compact(members))


def base64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
