"""Records the token requests of `msal`, Microsoft's own library, which shares no code with Vicar.

  .venv/bin/python msal_forms.py < lines of JSON

Every line is a call: {"method", "tenant", "client_id", "credential", "capabilities", "scopes",
"assertion", "refresh_token"}. Answers each with one line on stdout: the body of the token request
that the call ended with, as a JSON text. With "adfs", the address of an AD FS, it goes there.

Nothing leaves the process: the only way out of the HTTP client that `msal` is given is `Recorder`.
"""

import base64
import io
import json
import sys

import msal
import requests


class Recorder(requests.adapters.BaseAdapter):
    """Answers what would go to Microsoft Entra ID, and keeps the bodies of token requests."""

    def __init__(self, call):
        super().__init__()
        self.call = call
        self.bodies = []

    def send(self, request, **_settings):
        """The answer to a request that is ready for the wire."""
        response = requests.Response()
        response.status_code = 200
        response.request, response.url = request, request.url
        response.raw = io.BytesIO(json.dumps(self.answer(request)).encode())
        return response

    def close(self):
        """There is nothing to close."""

    def answer(self, request):
        """The document at the request's address; only what the library has asked for so far."""
        base = authority(self.call)
        version = "" if "adfs" in self.call else "/v2.0"
        token_endpoint = f"{base}/oauth2{version}/token"
        if request.url == f"{base}{version}/.well-known/openid-configuration":
            return {
                "issuer": f"{base}{version}",
                "authorization_endpoint": f"{base}/oauth2{version}/authorize",
                "token_endpoint": token_endpoint,
            }
        if request.url.startswith(f"{HOST}/common/discovery/instance?"):
            return {"metadata": []}
        if request.url != token_endpoint or "Authorization" in request.headers:
            raise LookupError(f"no answer for {request.method} {request.url}")
        self.bodies.append(request.body)
        return self.tokens()

    def tokens(self):
        """The tokens of a person, by which the library finds its refresh token again."""
        call = self.call
        person = {"sub": "a-person", "aud": call["client_id"], "tid": call["tenant"]}
        return {
            "access_token": "an-access-token",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": call["refresh_token"],
            "id_token": f"{encoded({'alg': 'none'})}.{encoded(person)}.",
            "client_info": encoded({"uid": "a-person", "utid": call["tenant"]}),
        }


def authority(call):
    """Whom a call asks."""
    return call.get("adfs") or f"{HOST}/{call['tenant']}"


def encoded(members):
    """An object as base64url without padding."""
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")


def make(app, call):
    """Makes the call of that name."""
    method, scopes = call["method"], call["scopes"]
    if method == "acquire_token_for_client":
        return app.acquire_token_for_client(scopes)
    if method == "acquire_token_by_refresh_token":
        return app.acquire_token_by_refresh_token(call["refresh_token"], scopes)
    result = app.acquire_token_on_behalf_of(call["assertion"], scopes)
    if method == "acquire_token_on_behalf_of":
        return result
    if method == "acquire_token_silent":
        (account,) = app.get_accounts()
        return app.acquire_token_silent(scopes, account, force_refresh=True)
    raise LookupError(method)


def form(call):
    """The body of the last token request of a call."""
    recorder = Recorder(call)
    client = requests.Session()
    # Neither proxies nor passwords of whoever runs the test.
    client.trust_env = False
    client.adapters.clear()
    client.mount("https://", recorder)
    credential = call["credential"]
    if isinstance(credential, dict) and "client_assertion" in credential:
        # A function, as the library advises: it would follow a file that changes.
        assertion = credential["client_assertion"]
        credential = {"client_assertion": lambda: assertion}
    app = msal.ConfidentialClientApplication(
        call["client_id"],
        client_credential=credential,
        authority=authority(call),
        http_client=client,
        client_capabilities=call["capabilities"],
    )
    result = make(app, call)
    if "access_token" not in (result or {}):
        raise ValueError(f"{call['method']} ended without a token: {result}")
    return recorder.bodies[-1]


def main():
    """Reads the lines and answers them."""
    for line in sys.stdin.buffer:
        print(json.dumps(form(json.loads(line))))


HOST = "https://login.microsoftonline.com"


if __name__ == "__main__":
    main()
