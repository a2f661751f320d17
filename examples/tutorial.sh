#!/bin/sh
# The tutorial flow with accounts of the embedded identity server: register, log in, generate. Development profile only.
set -eu
gateway=${SALLYPORT_URL:-http://127.0.0.1:8080}
username=${1:-alice}
password=${2:-correct-horse-battery}
curl --silent --show-error "$gateway/users" -H 'Content-Type: application/json' \
  -d "{\"username\":\"$username\",\"password\":\"$password\"}"
echo
access_token=$(curl --fail-with-body --silent --show-error "$gateway/token" \
  -d grant_type=password -d "username=$username" --data-urlencode "password=$password" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
curl --fail-with-body --silent --show-error "$gateway/generate" -H "Authorization: Bearer $access_token" \
  -H 'Content-Type: application/json' -d '{"prompt":"The future of AI is","max_length":24}'
echo
curl --silent --show-error "$gateway/admin/users" -H "Authorization: Bearer $access_token"
echo
