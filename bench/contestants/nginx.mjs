// nginx, one worker: passes requests on with kept-alive connections and asks nobody for a token. It cannot check one
// without a module that is not in the distribution; the figure says what moving the bytes costs in C.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, isInstalled, startProgram } from '../harness/processes.mjs';

export const isHere = () => isInstalled('nginx', ['-v']);

export async function launch({ folder, core, upstreamPort }) {
  const port = await freePort();
  const prefix = join(folder, 'nginx');
  mkdirSync(prefix, { recursive: true });
  const file = join(prefix, 'nginx.conf');
  writeFileSync(file, configuration({ port, upstreamPort, prefix }));
  return startProgram(['nginx', '-p', prefix, '-e', 'stderr', '-c', file], port, { core });
}

function configuration({ port, upstreamPort, prefix }) {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `    ${name}_temp_path ${join(prefix, name)};`)
    .join('\n');
  return `
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${join(prefix, 'nginx.pid')};
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
${temporary}
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    upstream models {
        server 127.0.0.1:${upstreamPort};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }
    server {
        listen 127.0.0.1:${port} backlog=4096;
        location / {
            proxy_pass http://models;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }
    }
}
`;
}
