#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An echo service for a gate to pass calls on to: /forekey.example.Echo/Say, without generated code.

  echo_service.py PORT

Answers with the text that came, and with the subject that the gate names. It needs python3-grpcio.
"""
import sys
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method != "/forekey.example.Echo/Say":
            return None

        def say(request, context):
            subject = dict(context.invocation_metadata()).get("forekey-subject", "").encode()
            # EchoResponse: field 1 as it came in EchoRequest, field 2 the subject.
            return request + b"\x12" + bytes([len(subject)]) + subject
        return grpc.unary_unary_rpc_method_handler(say)


def main():
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Echo()])
    if server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}") == 0:
        sys.exit(f"port {sys.argv[1]} is taken")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
