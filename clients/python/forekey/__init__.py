# SPDX-License-Identifier: Apache-2.0
"""gRPC channels to Forekey gates.

    import forekey
    channel = forekey.channel("orders.example")
    stub = orders_pb2_grpc.OrdersStub(channel)

Every call on the channel carries a prefix (docs/PROTOCOL.md of Forekey); nothing else changes for the application.
The agent (forekey-agent) must be running as the same user, and be enrolled at the gate.
"""
from ._channel import channel
from ._errors import Error, Kind

__all__ = ["Error", "Kind", "channel"]
