#!/bin/sh
# Makes the secrets of docker-compose.yml, once: existing files are kept, so that data stays readable. The folder is
# closed (0700); the files inside are readable because containers run under numbers of their own.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
put() {
  [ -e "secrets/$1" ] && return 0
  printf '%s' "$2" >"secrets/$1"
  chmod 444 "secrets/$1"
}
put redis_password "$(random)"
put postgres_password "$(random)"
put redis_url "redis://:$(cat secrets/redis_password)@redis:6379"
put redis_conf "requirepass $(cat secrets/redis_password)
appendonly yes
dir /data
"
put database_url "postgres://sallyport:$(cat secrets/postgres_password)@postgres:5432/sallyport"
echo "secrets are in deploy/secrets/"
