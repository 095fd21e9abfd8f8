#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Registrations and assertions made by headless Chromium with its own virtual authenticators, in a page on
http://localhost. Writes into FOLDER, for each authenticator, a folder of raw files:
  attestation-object client-data registration-challenge public-key (COSE) vendor/root.der credential-id
  authenticator-data assertion-client-data signature assertion-challenge origin
The browser is driven through --remote-debugging-pipe: JSON messages, each ended by a NUL byte.
  chromium.py FOLDER
"""
import base64
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading

from fido2 import cbor
from fido2.ctap2 import AttestationObject

SECONDS = 120  # for all of it, on the slowest machine
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--disable-breakpad", "--remote-debugging-pipe"]
# name -> options of the virtual authenticator, and of the page's requests
AUTHENTICATORS = {
    "packed": ({"protocol": "ctap2"}, {"algorithm": -7}),
    "packed-rs256": ({"protocol": "ctap2"}, {"algorithm": -257}),
    "verified": ({"protocol": "ctap2", "hasUserVerification": True, "isUserVerified": True},
                 {"algorithm": -7, "verification": "required"}),
    "synced": ({"protocol": "ctap2", "defaultBackupEligibility": True, "defaultBackupState": True},
               {"algorithm": -7}),
    "u2f": ({"protocol": "u2f"}, {"algorithm": -7}),
    "none": ({"protocol": "ctap2"}, {"algorithm": -7, "attestation": "none"}),
}
CEREMONIES = """(async (options) => {
  const hex = (buffer) => [...new Uint8Array(buffer)].map(b => b.toString(16).padStart(2, '0')).join('');
  const challenges = [crypto.getRandomValues(new Uint8Array(32)), crypto.getRandomValues(new Uint8Array(32))];
  const userVerification = options.verification || 'discouraged';
  const made = await navigator.credentials.create({publicKey: {
    rp: {id: 'localhost', name: 'gate'}, challenge: challenges[0],
    user: {id: crypto.getRandomValues(new Uint8Array(16)), name: 'ada', displayName: 'ada'},
    pubKeyCredParams: [{type: 'public-key', alg: options.algorithm}],
    attestation: options.attestation || 'direct', authenticatorSelection: {userVerification}}});
  const got = await navigator.credentials.get({publicKey: {
    rpId: 'localhost', challenge: challenges[1], userVerification,
    allowCredentials: [{type: 'public-key', id: made.rawId}]}});
  return JSON.stringify({
    'attestation-object': hex(made.response.attestationObject), 'client-data': hex(made.response.clientDataJSON),
    'registration-challenge': hex(challenges[0]), 'credential-id': hex(made.rawId),
    'authenticator-data': hex(got.response.authenticatorData),
    'assertion-client-data': hex(got.response.clientDataJSON),
    'signature': hex(got.response.signature), 'assertion-challenge': hex(challenges[1])});
})"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<!doctype html><title>ready</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Browser:
    """Chromium in a process group of its own, with an empty profile in `folder`."""

    def __init__(self, folder):
        from_us, self.write_fd = os.pipe()
        self.read_fd, to_us = os.pipe()
        environment = dict(os.environ, HOME=folder, XDG_CONFIG_HOME=folder, XDG_CACHE_HOME=folder)
        # The shell gives it the pipes as descriptors 3 and 4.
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec chromium "$@" 3<&{from_us} 4>&{to_us}', "sh", *FLAGS,
             f"--user-data-dir={folder}/profile", "about:blank"],
            pass_fds=(from_us, to_us), env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(from_us)
        os.close(to_us)
        self.received, self.last = b"", 0

    def message(self):
        while b"\0" not in self.received:
            piece = os.read(self.read_fd, 65536)
            if not piece:
                raise SystemExit("chromium ended before it answered")
            self.received += piece
        one, self.received = self.received.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, session=None, **params):
        self.last += 1
        request = {"id": self.last, "method": method, "params": params}
        if session:
            request["sessionId"] = session
        os.write(self.write_fd, json.dumps(request).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def evaluate(self, session, expression):
        answer = self.call("Runtime.evaluate", session, expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise SystemExit(f"in the page: {answer['exceptionDetails']['exception'].get('description')}")
        return answer["result"]["value"]

    def open(self, url):
        """A page that has loaded: its session."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable", session)
        self.call("Page.navigate", session, url=url)
        while self.message().get("method") != "Page.loadEventFired":
            pass
        return session

    def end(self):
        """By itself, so that it reaps its own children; else by force."""
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (SystemExit, OSError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def write(folder, made, origin):
    folder.mkdir()
    files = {name: bytes.fromhex(value) for name, value in made.items()}
    attested = AttestationObject(files["attestation-object"])
    files["public-key"] = cbor.encode(dict(attested.auth_data.credential_data.public_key))
    certificates = attested.att_statement.get("x5c", [])
    if certificates:  # signed by itself
        (folder / "vendor").mkdir()
        files["vendor/root.der"] = certificates[0]
    files["origin"] = origin.encode()
    for name in ("registration-challenge", "assertion-challenge"):
        files[name] = base64.urlsafe_b64encode(files[name]).rstrip(b"=")
    for name, content in files.items():
        (folder / name).write_bytes(content)


def run(folder, browser, origin):
    session = browser.open(origin + "/")
    browser.call("WebAuthn.enable", session)
    for name, (options, request) in AUTHENTICATORS.items():
        made = browser.call("WebAuthn.addVirtualAuthenticator", session,
                            options={"transport": "usb", "automaticPresenceSimulation": True, **options})
        text = browser.evaluate(session, f"{CEREMONIES}({json.dumps(request)})")
        write(folder / name, json.loads(text), origin)
        browser.call("WebAuthn.removeVirtualAuthenticator", session, authenticatorId=made["authenticatorId"])


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="forekey-chromium-", ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)

        def overdue(*_):
            raise SystemExit(f"chromium did not finish in {SECONDS} s")
        signal.signal(signal.SIGALRM, overdue)
        signal.alarm(SECONDS)
        try:
            run(pathlib.Path(sys.argv[1]), browser, f"http://localhost:{server.server_address[1]}")
        finally:
            browser.end()


if __name__ == "__main__":
    main()
