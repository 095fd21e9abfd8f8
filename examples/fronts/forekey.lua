-- SPDX-License-Identifier: Apache-2.0
-- Asks the gate about a call, for haproxy.cfg. Sets txn.forekey_status, a gRPC status ("0": go on), with
-- txn.forekey_message; and of a caller txn.forekey_subject, _roles, _factors and _caller.
local secret = os.getenv("FOREKEY_SECRET") or ""
-- A socket in a folder of the gate's. A port would be anybody's who takes it while the gate is down.
local gate = os.getenv("FOREKEY_AUTHORIZE") or "unix@/run/forekey/front.sock"

local function first(headers, name)
  local values = headers and headers[name]
  return values and values[0] or values and values[1] or nil
end

core.register_action("forekey", { "http-req" }, function(txn)
  -- Whatever goes wrong below, the call is refused.
  txn:set_var("txn.forekey_status", "14")
  txn:set_var("txn.forekey_message", "the gate can't be asked")
  local asked = {
    ["x-forekey-secret"] = { secret },
    ["x-forekey-path"] = { txn.sf:pathq() },
    ["x-forekey-peer"] = { txn.sf:src() },
    ["x-forekey-upstream"] = { "shop" },
  }
  local prefixes = txn.http:req_get_headers()["forekey-prefix-bin"]
  if prefixes then
    local all = {}
    for _, value in pairs(prefixes) do table.insert(all, value) end
    asked["forekey-prefix-bin"] = all
  end
  local answer = core.httpclient():get({ url = "http://forekey/authorize", dst = gate, headers = asked, timeout = 5000 })
  if not answer then return end
  local verdict = first(answer.headers, "forekey-verdict")
  if answer.status == 200 and (verdict == "admitted" or verdict == "exempt") then
    for _, name in ipairs({ "subject", "roles", "factors", "caller" }) do
      local value = first(answer.headers, "forekey-" .. name)
      if value then txn:set_var("txn.forekey_" .. name, value) end
    end
    txn:set_var("txn.forekey_status", "0")
  elseif answer.status == 401 or answer.status == 403 then
    txn:set_var("txn.forekey_status", first(answer.headers, "grpc-status") or "7")
    txn:set_var("txn.forekey_message", first(answer.headers, "grpc-message") or "")
  end
end)
