// node:http without what it only names. An `import` of node:http reads every export, WebSocket among them, and reading that
// one loads Node's own undici: 10 MiB resident that nobody asked for. So values come from here, types from node:http.
import type * as http from 'node:http';

export const { IncomingMessage, STATUS_CODES, ServerResponse, createServer, request } =
  process.getBuiltinModule('node:http');
export type IncomingMessage = http.IncomingMessage;
export type ServerResponse = http.ServerResponse;
