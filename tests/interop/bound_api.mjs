//! An API that takes bound tokens only over the certificate they are bound to (RFC 8705 section 3),
//! on a free loopback port. The token is judged by `jose`, the certificate by Node.
//!
//!   node bound_api.mjs FILE ISSUER AUDIENCE
//!
//! FILE is the one that `provider.mjs` was given. Prints one line of JSON on stdout when it listens:
//! {"origin"}. It leaves when its stdin closes.
//!
//! The answer says what it saw: {"certificate": the digest of what the connection showed, or null,
//! "bound_to": the digest in the token, or null, "client_id"}. Its status is 401 for a token that is
//! not good or is bound to another certificate.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { load, mutualTlsServer } from './certified_clients.mjs';

const [file, issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
const server = mutualTlsServer(load(file));

/** What a request is answered with. */
async function judge({ headers, socket }) {
  const certificate = socket.getPeerX509Certificate();
  const digest = (raw) => createHash('sha256').update(raw).digest('base64url');
  const seen = { certificate: certificate ? digest(certificate.raw) : null };
  const [, token = ''] = /^Bearer (\S+)$/.exec(headers.authorization ?? '') ?? [];
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' });
    const bound_to = payload.cnf?.['x5t#S256'] ?? null;
    const good = bound_to === null || bound_to === seen.certificate;
    return [good ? 200 : 401, { ...seen, bound_to, client_id: payload.client_id }];
  } catch (error) {
    return [401, { ...seen, error: error.code ?? error.name }];
  }
}

server.on('request', async (request, response) => {
  const [status, answer] = await judge(request);
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
});
await once(server.listen(0, '127.0.0.1'), 'listening');
console.log(JSON.stringify({ origin: `https://localhost:${server.address().port}` }));
process.stdin.on('close', () => process.exit(0)).resume();
