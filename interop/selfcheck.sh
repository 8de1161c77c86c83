#!/usr/bin/env bash
# Proves that the peers work with each other, without groat: anvil, the official facilitator, the
# official sellers and the official buyers. Needs setup.sh to have run, curl and jq. Exit 0 = all paid.
# USDC_ARTIFACT: another token artifact than contracts/artifacts/Usdc.json. ANVIL: another anvil binary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

die() { echo "selfcheck: $*" >&2; exit 1; }
for tool in curl jq node python3; do command -v "$tool" >/dev/null || die "$tool is missing"; done
[[ -d node/node_modules && -d node-v1/node_modules && -d .venv-v1 && -d .venv-v2 && -d .venv-mock ]] || die "run ./setup.sh first"
export USDC_ARTIFACT="${USDC_ARTIFACT:-$PWD/../contracts/artifacts/Usdc.json}"
[[ -f $USDC_ARTIFACT ]] || die "no token artifact at $USDC_ARTIFACT (set USDC_ARTIFACT)"
anvil="${ANVIL:-node/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil}"
command -v "$anvil" >/dev/null || die "no anvil at $anvil (it is pinned for Linux on x86-64; elsewhere set ANVIL to a binary)"

# Anvil's public development accounts 0 (facilitator), 1 (buyer) and 2 (seller).
signer_key=0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80
buyer_key=0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d
buyer=0x70997970C51812dc3A010C7d01b50e0d17dc79C8
export PAY_TO=0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC
# Account 3 sells with x402-mock, which pays its own gas.
mock_key=0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6
mock=0x90F79bf6EB2c4f870365E785982E1f101E93b906

logs="$(mktemp -d)"
pids=()
cleanup() {
  local status=$?
  ((${#pids[@]})) && kill "${pids[@]}" 2>/dev/null || true
  if ((status)); then tail -n 20 "$logs"/* >&2 || true; fi
  rm -rf "$logs"
}
trap cleanup EXIT

await_match() { # file pattern -> first match
  local i match
  for ((i = 0; i < 300; i++)); do
    match="$(grep -Eom1 "$2" "$1" 2>/dev/null || true)"
    if [[ -n $match ]]; then echo "$match"; return; fi
    sleep 0.1
  done
  die "$(basename "$1") did not become ready"
}
start() { # name command... -> sets $port
  local name="$1"
  shift
  PORT=0 "$@" >"$logs/$name" 2>&1 &
  pids+=($!)
  port="$(await_match "$logs/$name" '"listening": ?[0-9]+' | grep -Eo '[0-9]+')"
  echo "started $name on $port"
}

"$anvil" --chain-id 84532 --host 127.0.0.1 --port 0 >"$logs/anvil" 2>&1 &
pids+=($!)
RPC_URL="http://$(await_match "$logs/anvil" '127\.0\.0\.1:[0-9]+')"
export RPC_URL
MINT_TO=$buyer MINT_AMOUNT=1000000000 node lib/prepare-chain.mjs

start facilitator-v2 env SIGNER_KEY=$signer_key node servers/facilitator-v2.mjs
export FACILITATOR_URL="http://127.0.0.1:$port"
for version in v1 v2; do
  start "express-$version" node "servers/express-$version.mjs"
  declare "express_$version=http://127.0.0.1:$port"
  start "fastapi-$version" ".venv-$version/bin/python" "servers/fastapi-$version.py"
  declare "fastapi_$version=http://127.0.0.1:$port"
done
start x402-mock env SIGNER_KEY=$mock_key .venv-mock/bin/python servers/x402-mock.py

paid=0
failed=0
pay() { # label, units, command...
  local label="$1" units="$2" line
  shift 2
  if line="$(PRIVATE_KEY=$buyer_key "$@" 2>>"$logs/clients")"; then
    paid=$((paid + units))
    echo "ok   $label  $(jq -r '"\(.client) \(.version): \(.status) in \(.ms) ms, \(.receipt.network // "") \((.receipt.transaction // "no transaction is told")[0:18])…"' <<<"$line")"
  else
    failed=$((failed + 1))
    echo "FAIL $label  $line"
  fi
}
balance() {
  curl -sf "$RPC_URL" -H 'content-type: application/json' -d '{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{"to":"0x036CbD53842c5426634e7929541eC2318f3dCF7e","data":"0x70a08231000000000000000000000000'"${1#0x}"'"},"latest"]}' |
    jq -r .result | { read -r hex; echo $((hex)); }
}

before="$(balance "$PAY_TO")"
all_against() { # server base label, clients are those of the given version (the v2 ones speak v1 too)
  local name="$1" base="$2" client
  shift 2
  for client in "$@"; do
    local run=(node "clients/$client.mjs")
    case "$client" in *httpx-v1) run=(.venv-v1/bin/python "clients/$client.py") ;; *httpx-v2) run=(.venv-v2/bin/python "clients/$client.py") ;; esac
    pay "$client -> $name GET /weather" 10000 env URL="$base/weather" "${run[@]}"
    pay "$client -> $name POST /order " 20000 env URL="$base/order" METHOD=POST BODY='{"item":"tea","count":2}' "${run[@]}"
  done
}
# shellcheck disable=SC2154 # declared in the loop above
{
  all_against express-v2 "$express_v2" x402-fetch-v2 x402-httpx-v2
  all_against fastapi-v2 "$fastapi_v2" x402-fetch-v2 x402-httpx-v2
  all_against express-v1 "$express_v1" x402-fetch-v1 x402-httpx-v1 x402-fetch-v2 x402-httpx-v2
  all_against fastapi-v1 "$fastapi_v1" x402-fetch-v1 x402-httpx-v1 x402-fetch-v2 x402-httpx-v2
}

# x402-mock settles after it has given the token, and never does if r or s of the signature begins with a zero: one
# payment in five. Another is made then; what counts is that a settlement which it reports is on the chain.
told() { grep -cE '^(not )?settled' "$logs/x402-mock" || true; }
for request in "GET /weather" "POST /order"; do
  for ((attempt = 0; attempt < 20; attempt++)); do
    before_this="$(balance "$mock")"
    lines="$(told)"
    pay "x402-mock -> x402-mock $request" 0 env URL="http://127.0.0.1:$port${request#* }" METHOD="${request% *}" .venv-mock/bin/python clients/x402-mock.py
    for ((i = 0; i < 150 && $(told) == lines; i++)); do sleep 0.1; done
    last="$(grep -E '^(not )?settled' "$logs/x402-mock" | tail -n 1)"
    [[ $last == settled* ]] && break
    # Anything but a short signature is trouble.
    [[ $last =~ fromhex|bytes32 ]] || die "x402-mock: ${last:-no word about the settlement}"
    echo "     ${last:0:100}"
  done
  (($(balance "$mock") == before_this + 10000)) || die "x402-mock gave tokens and was not paid"
done

received=$(($(balance "$PAY_TO") - before))
echo "seller received $received base units, receipts say $paid"
((received == paid)) || die "chain and receipts disagree"
((failed == 0)) || die "$failed payments failed"
echo "all payments succeeded"
