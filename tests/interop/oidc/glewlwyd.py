#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Drives a glewlwyd of the tests' own over its HTTPS API.

  glewlwyd.py database FILE                         makes the database as Debian's package does
  glewlwyd.py setup URL CA.pem KEY.pem PUBLIC.pem   an OpenID provider "oidc" with that signing key, the
                                                    public client gate-client, the user ada
  glewlwyd.py rotate URL CA.pem KEY.pem PUBLIC.pem  another signing key
  glewlwyd.py token URL CA.pem USER                 logs in and writes an ID token for FOREKEY_OIDC_NONCE:
                                                    a command as a user of Forekey's agent may configure
"""
import json
import os
import pathlib
import sqlite3
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

CALLBACK = "https://localhost/callback"
SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
PASSWORD = "correct horse of the tests"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Server:
    def __init__(self, url, ca):
        self.url = url
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
            urllib.request.HTTPCookieProcessor(), NoRedirect)

    def ask(self, method, path, body=None):
        """The answer's status and headers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/{path}", data=data, method=method,
                                         headers={"Content-Type": "application/json"})
        try:
            answer = self.opener.open(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        return answer.status, answer.headers, answer.read()

    def must(self, method, path, body=None):
        status, _, text = self.ask(method, path, body)
        if status != 200:
            sys.exit(f"{method} {path}: {status} {text[:500]!r}")

    def login(self, user, password):
        self.must("POST", "auth/", {"username": user, "password": password})


def plugin(url, key, public):
    return {
        "module": "oidc", "name": "oidc", "display_name": "oidc", "enabled": True,
        "parameters": {
            "iss": url, "jwt-type": "ecdsa", "jwt-key-size": "256", "key": pathlib.Path(key).read_text(),
            "cert": pathlib.Path(public).read_text(), "jwks-show": True, "subject-type": "public",
            "secret-type": "public", "allow-non-oidc": False, "access-token-duration": 3600,
            "refresh-token-duration": 3600, "code-duration": 600, "refresh-token-rolling": True,
            "auth-type-id-token-enabled": True, "auth-type-none-enabled": True,
            "auth-type-code-enabled": False, "auth-type-token-enabled": False,
            "auth-type-password-enabled": False, "auth-type-client-enabled": False,
            "auth-type-refresh-enabled": False, "auth-type-device-enabled": False,
        },
    }


def database(path):
    sqlite3.connect(path).executescript(pathlib.Path(SCHEMA).read_text())


def setup(url, ca, key, public):
    server = Server(url, ca)
    server.login("admin", "password")  # of the database as it is installed
    server.must("POST", "mod/plugin/", plugin(url, key, public))
    server.must("POST", "client/", {
        "client_id": "gate-client", "name": "gate", "enabled": True, "confidential": False,
        "redirect_uri": [CALLBACK], "authorization_type": ["id_token"], "scope": []})
    server.must("POST", "user/", {"username": "ada", "name": "Ada", "password": PASSWORD, "enabled": True,
                                  "scope": ["openid", "g_profile"]})
    person = Server(url, ca)
    person.login("ada", PASSWORD)
    person.must("PUT", "auth/grant/gate-client/", {"scope": "openid"})


def rotate(url, ca, key, public):
    server = Server(url, ca)
    server.login("admin", "password")
    server.must("PUT", "mod/plugin/oidc", plugin(url, key, public))


def token(url, ca, user):
    server = Server(url, ca)
    server.login(user, PASSWORD)
    query = urllib.parse.urlencode({
        "response_type": "id_token", "client_id": os.environ["FOREKEY_OIDC_CLIENT_ID"],
        "redirect_uri": CALLBACK, "nonce": os.environ["FOREKEY_OIDC_NONCE"], "state": "x", "scope": "openid"})
    status, headers, _ = server.ask("GET", f"oidc/auth?{query}&g_continue")
    fragment = urllib.parse.urlparse(headers.get("Location", "")).fragment
    found = urllib.parse.parse_qs(fragment).get("id_token")
    if status != 302 or not found:
        sys.exit(f"no ID token: {status} {headers.get('Location')}")
    print(found[0])


if __name__ == "__main__":
    {"database": database, "setup": setup, "rotate": rotate, "token": token}[sys.argv[1]](*sys.argv[2:])
