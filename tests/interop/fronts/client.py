# SPDX-License-Identifier: Apache-2.0
"""One call by the Python client, as an application makes it: prints what came of it as a line of JSON.

  client.py AGENT_SOCKET METHOD TEXT
"""
import json
import sys

import forekey


def main():
    agent, method, text = sys.argv[1:]
    try:
        with forekey.channel(agent_socket=agent) as channel:
            answer, call = channel.unary_unary(method).with_call(text.encode(), timeout=60)
            told = {"text": answer.decode(), "subject": dict(call.trailing_metadata()).get("x-subject", "")}
    except forekey.Error as error:
        told = {"code": error.code().name, "kind": error.kind.value, "details": error.details(), "reason": error.reason}
    print(json.dumps(told))


main()
