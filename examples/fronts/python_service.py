#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A gRPC service behind a Forekey gate that checks for itself who calls.

  python_service.py LISTEN UPSTREAM AUDIENCE JWKS_URL
  python_service.py unix:/run/shop/grpc.sock shop echo.example http://127.0.0.1:9080/.well-known/jwks.json

It needs python3-grpcio and python3-jwt (with python3-cryptography). It echoes what comes, for any method,
and says in the trailers who called and how many calls live.
"""
import sys
import threading
from concurrent import futures

import grpc
import jwt


class Callers:
    """Checks the token that the gate puts beside each call: its signature by a key of the gate's, its
    issuer, that it was made for this service and this method, and that it is not over."""

    def __init__(self, upstream, audience, jwks_url):
        self.upstream, self.audience = upstream, audience
        # Fetched once and kept; a key that is not known yet has it fetched again.
        self.keys = jwt.PyJWKClient(jwks_url)

    def of(self, context, method):
        tokens = [value for key, value in context.invocation_metadata() if key == "forekey-caller"]
        if len(tokens) != 1:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token of the gate's, or more than one")
        try:
            key = self.keys.get_signing_key_from_jwt(tokens[0])
            claims = jwt.decode(tokens[0], key.key, algorithms=["ES256"], audience=self.upstream,
                                issuer=self.audience, options={"require": ["exp", "iat", "sub", "aud", "iss"]})
        except jwt.PyJWTError as error:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"the gate's token: {error}")
        if claims.get("method") != method:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "the gate's token is for another method")
        return claims


class Echo(grpc.GenericRpcHandler):
    def __init__(self, callers):
        self.callers = callers
        self.lock = threading.Lock()
        self.live = 0

    def count(self, by):
        with self.lock:
            self.live += by
            return self.live

    def service(self, details):
        def serve(requests, context):
            live = self.count(1)
            if not context.add_callback(lambda: self.count(-1)):
                self.count(-1)  # it has ended already
            claims = self.callers.of(context, details.method)
            seen = ",".join(sorted({key for key, _ in context.invocation_metadata()}))
            context.set_trailing_metadata((("x-subject", claims["sub"]), ("x-roles", ",".join(claims["roles"])),
                                           ("x-seen", seen), ("x-live", str(live))))
            failed = False
            for request in requests:
                failed = failed or request == b"fail"
                if not failed:
                    yield request
            if failed:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "the service's own")
        return grpc.stream_stream_rpc_method_handler(serve)


def main():
    listen, upstream, audience, jwks_url = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((Echo(Callers(upstream, audience, jwks_url)),))
    port = server.add_insecure_port(listen)
    server.start()
    print(f"listening {port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
