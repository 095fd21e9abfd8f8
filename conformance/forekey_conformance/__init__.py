# SPDX-License-Identifier: Apache-2.0
"""forekey-conformance. Shares no line with Forekey's own code."""
