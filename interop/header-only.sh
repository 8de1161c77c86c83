#!/usr/bin/env bash
# Buyer that reads header fields only (WWW-Authenticate, Payment-Scheme, Payment-Endpoint): curl and jq, no library.
# It asks, reads the quote at {Payment-Endpoint}/quote and says in one line what there would be to pay. It cannot sign.
# With SIGN, a command that reads the quote on standard input and writes a permit on standard output, it goes on: it
# posts the permit to the Payment-Endpoint, gets a token and asks again with it.
# Env: URL; METHOD (GET), BODY, CONTENT_TYPE, SIGN. Exit code 0: status 200, or a quote and no SIGN.
set -euo pipefail
for tool in curl jq; do command -v "$tool" >/dev/null || { echo "header-only: $tool is missing" >&2; exit 1; }; done

url="${URL:?URL is missing}"
method="${METHOD:-GET}"
files="$(mktemp -d)"
trap 'rm -rf "$files"' EXIT
now() { echo "$((${EPOCHREALTIME/[.,]/} / 1000))"; }
started="$(now)"
status=0 token=false quote=null schemes='[]' receipt=null error=""
: >"$files/body"

finish() { # exit code
  jq -cn --rawfile body "$files/body" --arg error "$error" \
    --argjson status "$status" --argjson token "$token" --argjson receipt "$receipt" --argjson quote "$quote" \
    --argjson schemes "$schemes" --argjson ms "$(($(now) - started))" \
    '{client: "header-only.sh", version: "1", $status, $body, $token, $receipt,
      would_pay: ([$quote | objects | .payment_scheme.payment_components[]? |
        {amount, currency, caip2, token, pay_to}] | if length > 0 then . else null end),
      $schemes, error: (if $error == "" then null else $error end), $ms}'
  exit "$1"
}
fail() { error="$1"; finish 1; }

# Nothing secret is ever an argument: fields and bodies come from files. No redirects, bounded in time and size.
ask() { # file for the body, url, curl arguments... -> sets $answered, writes head and body
  local into="$1" to="$2"
  shift 2
  answered="$(curl -sS --max-time 15 --max-filesize 1000000 --proto '=http,https' -o "$into" -D "$files/head" \
    -w '%{http_code}' "$@" -- "$to" 2>"$files/trouble")" || fail "$to: $(<"$files/trouble")"
}
ask_for_it() { # curl arguments... -> sets $status
  local request=(-X "$method")
  [[ $method == HEAD ]] && request=(--head)
  if [[ -n ${BODY:-} ]]; then
    printf '%s' "$BODY" >"$files/request"
    request+=(-H "Content-Type: ${CONTENT_TYPE:-application/json}" --data-binary "@$files/request")
  fi
  status=0
  ask "$files/body" "$url" "${request[@]}" "$@"
  status="$answered"
}
fields() { # name -> the values of all its fields in the last head, one a line
  awk -v name="${1,,}:" '/^HTTP\// { n = 0 } index(tolower($0), name) == 1 {
    sub(/^[^:]*:[ \t]*/, ""); sub(/[ \t\r]+$/, ""); found[++n] = $0 } END { for (i = 1; i <= n; i++) print found[i] }' "$files/head"
}

ask_for_it
[[ $status == 200 ]] && finish 0
[[ $status == 402 ]] || fail "status $status"

bearer="$(fields WWW-Authenticate | grep -i '^Bearer[ ,]' | head -n 1 || true)"
[[ $bearer =~ token_type=\"?access_token\"? ]] || fail 'no WWW-Authenticate: Bearer with token_type="access_token"'
schemes="$(fields Payment-Scheme | jq -Rcn '[inputs | split(",")[] | gsub("^\\s+|\\s+$"; "") | select(. != "")]')"
[[ $schemes != '[]' ]] || fail "no Payment-Scheme"
endpoint="$(fields Payment-Endpoint)"
origin="$(grep -Eo '^https?://[^/?#]+' <<<"$url")" || fail "URL is not absolute"
case "$endpoint" in
  "") fail "no Payment-Endpoint" ;;
  *$'\n'*) fail "more than one Payment-Endpoint" ;;
  //*) fail "Payment-Endpoint is neither a path nor a URL: $endpoint" ;;
  /*) endpoint="$origin$endpoint" ;;
  http://* | https://*) ;;
  *) fail "Payment-Endpoint is neither a path nor a URL: $endpoint" ;;
esac

ask "$files/quote" "${endpoint%/}/quote?resource=$(jq -rn --arg url "$url" '$url | @uri')" -H 'Accept: application/json'
[[ $answered == 200 ]] || fail "the quote answered $answered"
quote="$(jq -ce '. | objects | select(.payment_scheme.payment_components | arrays | length > 0)' "$files/quote" 2>/dev/null)" ||
  { quote=null; fail "the quote has no payment_components"; }
[[ -n ${SIGN:-} ]] || finish 0

bash -c "$SIGN" <"$files/quote" >"$files/permit" || fail "SIGN failed"
jq -ce '{version: "Version 0.1", permit: (. | objects)}' "$files/permit" >"$files/offer" 2>/dev/null ||
  fail "SIGN wrote no permit"
ask "$files/answer" "$endpoint" -H 'Content-Type: application/json' --data-binary "@$files/offer"
[[ $answered == 200 ]] || fail "the permit was answered with $answered: $(head -c 1000 "$files/answer")"
jq -re '"Authorization: Bearer " + (.access_token | strings | select(test("^[A-Za-z0-9._~+/=-]+$")))' \
  "$files/answer" >"$files/authorization" 2>/dev/null || fail "the answer has no access_token"
token=true
payer="$(jq -c '.authorizer // .owner // null' "$files/permit")"
transaction="$(jq -c '.metadata | objects | .tx // .transaction // null' "$files/answer")"

ask_for_it -H "@$files/authorization"
receipt="$(jq -cn --argjson payer "$payer" --argjson transaction "${transaction:-null}" --argjson status "$status" \
  '{success: ($status == 200), $payer, $transaction}')"
[[ $status == 200 ]] && finish 0
fail "status $status: $(head -c 1000 "$files/body")"
