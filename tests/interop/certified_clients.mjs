//! Clients of `provider.mjs` that prove themselves with a key instead of a secret.
//!
//! Whoever starts the provider makes their keys, and names them in a file of JSON:
//!
//!   {"server": {"certificate", "key"}, "ca",
//!    "clients": [{"id", "method", "algorithm", "certificate", "public_key", "key_id", "bound",
//!                 "lifetime"}]}
//!
//! `server`, `ca`, `certificate` and `public_key` are PEM files in the folder of that file. A
//! client of `private_key_jwt` may use its one algorithm only (RFC 7591 section 2); one of
//! `tls_client_auth` is known by the name in its certificate, which the `ca` must have signed
//! (RFC 8705 section 2.1), one of `self_signed_tls_client_auth` by the certificate itself (2.2).
//! Tokens of a `bound` client are bound to the certificate that it showed (RFC 8705 section 3). They
//! live as many seconds as `lifetime` says, where it does.

import { createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { dirname, join } from 'node:path';

const FILES = ['certificate', 'key', 'public_key', 'ca'];

/** What stands in the file at `path`, the files that it names read. */
export function load(path) {
  const read = (name, value) =>
    FILES.includes(name) ? readFileSync(join(dirname(path), value)) : value;
  return JSON.parse(readFileSync(path, 'utf8'), read);
}

const METHODS = ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'];

/** What a client's metadata say about its key. */
const material = {
  private_key_jwt: ({ algorithm, certificate, public_key, key_id }) => {
    const jwk = createPublicKey(certificate ?? public_key).export({ format: 'jwk' });
    return {
      token_endpoint_auth_signing_alg: algorithm,
      jwks: { keys: [{ ...jwk, kid: key_id, use: 'sig' }] },
    };
  },
  tls_client_auth: ({ certificate }) => {
    const { subject } = new X509Certificate(certificate);
    return { tls_client_auth_subject_dn: subject };
  },
  self_signed_tls_client_auth: ({ certificate }) => {
    const { publicKey, raw } = new X509Certificate(certificate);
    const jwk = publicKey.export({ format: 'jwk' });
    return { jwks: { keys: [{ ...jwk, x5c: [raw.toString('base64')] }] } };
  },
};

/** One client for client_credentials; the empty lists say that it has no browser. */
export function registration(client) {
  return {
    client_id: client.id,
    token_endpoint_auth_method: client.method,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    ...(client.bound && { tls_client_certificate_bound_access_tokens: true }),
    ...material[client.method](client),
  };
}

/** The certificate that a request's connection showed, or null. */
export const shown = (ctx) => ctx.socket.getPeerX509Certificate?.() ?? null;

/** A server that asks for a certificate and takes any: the provider judges it. */
export function mutualTlsServer({ server: { certificate, key }, ca }) {
  const asked = { requestCert: true, rejectUnauthorized: false };
  return createServer({ cert: certificate, key, ca, ...asked });
}

/** What the provider's configuration has in addition; `origin` is where certificates are asked for. */
export function configuration({ clients }, origin) {
  return {
    clients: clients.map(registration),
    clientAuthMethods: METHODS,
    lifetimes: Object.fromEntries(clients.map(({ id, lifetime }) => [id, lifetime])),
    // RFC 8705 section 5: who shows a certificate has an endpoint of its own.
    discovery: { mtls_endpoint_aliases: { token_endpoint: `${origin}/token` } },
    features: {
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: shown,
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_subject_dn' && shown(ctx).subject === expected,
      },
    },
  };
}
