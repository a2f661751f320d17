#!/bin/sh
# A completion with curl:  npx sallyport login && sh examples/curl.sh
set -eu
base=${SALLYPORT_URL:-http://127.0.0.1:8080}/v1
curl --fail-with-body --silent --show-error "$base/completions" \
  -H "Authorization: Bearer $(npx --no-install sallyport token)" \
  -H 'Content-Type: application/json' \
  -d '{"model":"tiny-gpt2","prompt":"The future of AI is","max_tokens":24}'
echo
